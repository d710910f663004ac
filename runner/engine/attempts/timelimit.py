"""A time limit that can be paused: a task's waiting does not count as its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class TimeLimit:
    """Calls `expired` once `limit_s` seconds have passed that were not paused; `float("inf")` is no limit."""

    def __init__(self, limit_s: float, expired: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._left_s = limit_s
        self._expired = expired
        self._started_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return self._left_s - (0.0 if self._timer is None else self._loop.time() - self._started_at)

    def spend(self, seconds: float) -> None:
        """Count these seconds, too, while it is paused."""
        self._left_s -= seconds
        if self._left_s <= 0:
            self._expired()

    def run(self) -> None:
        """Let the time run."""
        if self._timer is None and self._left_s != float("inf"):
            self._started_at = self._loop.time()
            self._timer = self._loop.call_later(max(self._left_s, 0), self._expired)

    def pause(self) -> None:
        """Stop the time; `run` goes on from here."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._left_s -= self._loop.time() - self._started_at
