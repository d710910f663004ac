"""Has each of many do one thing at a time, and rest in between: whoever wants much at once waits for itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from weakref import WeakValueDictionary

_LONGEST_REST_S = 0.1  # what took longer waited for something else


class Pace:
    """Turns by key, such as one for each file; made and used on one event loop."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """The block runs beside no other of its key; the next one begins after as long a rest as it took."""
        turn = self._turns.setdefault(key, asyncio.Lock())
        async with turn:
            began = perf_counter()
            yield
            await asyncio.sleep(min(perf_counter() - began, _LONGEST_REST_S))
