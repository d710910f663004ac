"""Connecting to a database, and keeping what is connected for the next who needs it: the one used last goes first.

So a node that does one thing after another keeps to one connection, whose plans are made. What is idle for long is
closed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

import asyncpg

CONNECT_S = 5.0
_IDLE_S = 300.0
_CLOSE_S = 2.0


async def connect(url: str, *, is_pooled: bool) -> Any:
    """A connection to the server that takes writes."""
    # Behind a pooler of transactions a prepared statement would be another's.
    options = {"statement_cache_size": 0} if is_pooled else {}
    return await asyncpg.connect(url, target_session_attrs="read-write", timeout=CONNECT_S, **options)


class Connections:
    """Those that nobody works on."""

    def __init__(self, url: str, *, is_pooled: bool) -> None:
        self._url, self._is_pooled = url, is_pooled
        self._idle: deque[tuple[Any, float]] = deque()  # since when, the latest last

    async def take(self) -> Any:
        """One for the caller alone, until it gives it back; made where there is none."""
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await connect(self._url, is_pooled=self._is_pooled)

    def give_back(self, connection: Any) -> None:
        """No transaction is open on it; it may be closed."""
        now = time.monotonic()
        self._idle.append((connection, now))
        while self._idle[0][1] < now - _IDLE_S:
            self._idle.popleft()[0].terminate()

    async def close(self) -> None:
        """Close those that were given back."""
        idle, self._idle = self._idle, deque()
        await asyncio.gather(*(connection.close(timeout=_CLOSE_S) for connection, _ in idle), return_exceptions=True)
