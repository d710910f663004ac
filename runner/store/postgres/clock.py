"""The database's clock, as last seen and believed, plus what has passed since on a clock that nobody sets.

Nodes may disagree about the time; the database is asked, and the answer is good for the seconds until the next one.
"""

from __future__ import annotations

from runner.store.clock import SteadyClock, boot_us, both_us


class DatabaseClock:
    """What time it is for all nodes; before the database was asked, what this machine believes."""

    def __init__(self) -> None:
        wall, boot = both_us()
        self._machine_ahead_us = wall - boot
        self._clock: SteadyClock | None = None

    def now(self) -> int:
        """The present instant, in microseconds since 1970."""
        return boot_us() + self._machine_ahead_us if self._clock is None else self._clock.at(boot_us())

    def saw(self, database_us: int, *, asked_at: int) -> None:
        """Take over what the database answered to a question asked at this instant of `boot_us`."""
        clock = self._clock or SteadyClock()
        clock.saw(database_us, (asked_at + boot_us()) // 2)
        self._clock = clock
