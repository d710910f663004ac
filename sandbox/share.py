"""A peer's share of the event loop: a peer that sends much waits, and keeps nobody else waiting.

Work on the loop for one peer is done in small steps, `with share:`, and before each step its `rest` is awaited. That
returns at once while little was done for the peer lately, which is true of nearly all. Peers that cause much work take
turns, all those of one loop together: one takes a step, and then none of them takes one for as long as that took. So a
flood holds the loop for one step at a time; all floods together hold it for at most half of the time, in equal parts.
What a peer sends meanwhile waits in its own socket or pipe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from time import perf_counter
from types import TracebackType
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

#: What a peer may use of each period without waiting for its turn.
_FREE_S, _PERIOD_S = 0.002, 0.05

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class Share:
    """How much was done for one peer, and when more may be done. Made and used on one event loop."""

    __slots__ = ("_began", "_period_ends", "_used_s")

    def __init__(self) -> None:
        self._used_s = 0.0
        self._began = self._period_ends = 0.0

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        now = perf_counter()
        if now > self._period_ends:
            self._used_s, self._period_ends = 0.0, now + _PERIOD_S
        self._used_s += now - self._began

    @property
    def is_used_up(self) -> bool:
        """Whether `rest` would wait."""
        return self._used_s > _FREE_S and perf_counter() < self._period_ends

    async def rest(self) -> None:
        """Return when the next step may be taken."""
        if self._used_s <= _FREE_S or perf_counter() > self._period_ends:
            return
        loop = asyncio.get_running_loop()
        if (turn := _turns.get(loop)) is None:
            turn = _turns[loop] = asyncio.Lock()
        async with turn:
            await asyncio.sleep(self._used_s)
            self._used_s = 0.0

    async def go_through(self, steps: Generator[None, None, T]) -> T:
        """Take all of the steps, each when it may be taken; returns the generator's value."""
        while True:
            await self.rest()
            with self:
                try:
                    next(steps)
                except StopIteration as end:
                    value: T = end.value
                    return value
