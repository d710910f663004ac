"""A bound on what several things take together, handed out in the order in which they asked."""

from __future__ import annotations

import asyncio
from collections import deque


class Room:
    """So many bytes. One that wants more than there is in all gets all."""

    def __init__(self, size_bytes: int) -> None:
        self._size = self._free = size_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, wanted: int) -> None:
        """Return when there is room for it; then it is taken. Nothing at all is to be had at once."""
        wanted = min(wanted, self._size)
        if not wanted or (not self._waiting and wanted <= self._free):
            self._free -= wanted
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(wanted)
            raise

    def give_back(self, taken: int) -> None:
        """It is not needed any more."""
        self._free += min(taken, self._size)
        while self._waiting:
            wanted, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
            elif wanted <= self._free:
                self._waiting.popleft()
                self._free -= wanted
                turn.set_result(None)
            else:
                return
