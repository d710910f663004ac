"""The database's clock, as last seen, plus what has passed since on a clock that also counts while the machine sleeps.

Nodes may disagree about the time; the database is asked, and the answer is good for the seconds until the next one.
"""

from __future__ import annotations

import time


def boot_us() -> int:
    """Microseconds since this machine started, sleep included."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(clock) // 1000


class DatabaseClock:
    """What time it is for all nodes; before the database was asked, what this machine believes."""

    def __init__(self) -> None:
        self._ahead_us = time.time_ns() // 1000 - boot_us()

    def now(self) -> int:
        """The present instant, in microseconds since 1970."""
        return boot_us() + self._ahead_us

    def saw(self, database_us: int, *, asked_at: int) -> None:
        """Take over what the database answered to a question asked at this instant of `boot_us`."""
        self._ahead_us = database_us - (asked_at + boot_us()) // 2
