"""A bound on what several things take together while they grow, handed out in the order in which they asked.

Whoever has some and waits for more might wait for others that do the same. So one at a time may grow beyond the bound:
it comes to its end, and gives back what it has.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Self


class BodyMemory:
    """So many bytes, and what one place takes beyond."""

    def __init__(self, size_bytes: int) -> None:
        self._free = size_bytes
        self._waiting: deque[tuple[Place, int, asyncio.Future[None]]] = deque()
        self._beyond: Place | None = None  # the one that may take more than there is

    def place(self) -> Place:
        """A place that takes nothing yet; what it took is given back where its block ends."""
        return Place(self)

    async def take(self, place: Place, wanted: int) -> None:
        """Give a place more; returns when there is enough."""
        if (place is self._beyond or not self._waiting) and self._hand_out(place, wanted):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((place, wanted, turn))
        await turn  # what was handed out meanwhile is the place's, also where this is cancelled

    def _hand_out(self, place: Place, wanted: int) -> bool:
        if wanted > self._free and self._beyond is None:
            self._beyond = place
        if wanted > self._free and self._beyond is not place:
            return False
        self._free -= wanted
        place.taken += wanted
        return True

    def give_back(self, place: Place) -> None:
        """Take back all that a place has."""
        self._free += place.taken
        place.taken = 0
        if self._beyond is place:
            self._beyond = None
        while self._waiting:
            waiting, wanted, turn = self._waiting[0]
            if not turn.done() and not self._hand_out(waiting, wanted):
                return
            self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)


class Place:
    """What one thing takes of the memory, in bytes."""

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self.taken = 0

    async def take(self, wanted: int) -> None:
        """Take more; returns when there is enough."""
        await self._memory.take(self, wanted)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._memory.give_back(self)
