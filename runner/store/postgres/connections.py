"""Connecting to a database, and keeping what is connected for the next who needs it: the one used last goes first.

So a node that does one thing after another keeps to one connection, whose plans are made. What is idle for long is
closed.

asyncpg's own pool is not used: its bookkeeping (a task, a timer and a proxy for each statement, and a statement that
resets the connection) costs as much as the statement itself. A connection is given back here only with no transaction
open on it, so there is nothing to reset.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

_CLOSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Timing:
    """How long to wait for a database, in seconds."""

    patience_s: float = 10.0  # a call tries for so long before it tells its caller
    silence_s: float = 6.0  # a transaction that takes longer hangs; less than the patience, so that it is tried again
    connect_s: float = 5.0
    idle_s: float = 300.0  # a connection that nobody needed for longer is closed


USUAL: Final = Timing()


async def connect(url: str, *, is_pooled: bool, within_s: float) -> Any:
    """A connection to the server that takes writes."""
    # Behind a pooler of transactions a prepared statement would be another's.
    options = {"statement_cache_size": 0} if is_pooled else {}
    return await asyncpg.connect(url, target_session_attrs="read-write", timeout=within_s, **options)


class Connections:
    """Those that nobody works on."""

    def __init__(self, url: str, *, is_pooled: bool, timing: Timing) -> None:
        self._url, self._is_pooled, self._timing = url, is_pooled, timing
        self._idle: deque[tuple[Any, float]] = deque()  # since when, the latest last

    async def take(self) -> Any:
        """One for the caller alone, until it gives it back; made where there is none."""
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await connect(self._url, is_pooled=self._is_pooled, within_s=self._timing.connect_s)

    def give_back(self, connection: Any) -> None:
        """No transaction is open on it; it may be closed."""
        now = time.monotonic()
        self._idle.append((connection, now))
        while self._idle[0][1] < now - self._timing.idle_s:
            self._idle.popleft()[0].terminate()

    async def close(self) -> None:
        """Close those that were given back."""
        idle, self._idle = self._idle, deque()
        await asyncio.gather(*(connection.close(timeout=_CLOSE_S) for connection, _ in idle), return_exceptions=True)
