"""What time it is, for a machine whose clock may be wrong for a while.

Two clocks are read. The wall clock says what time it is, but anybody may set it. The boot clock says how long the
machine has been up, sleep included, and nobody sets it. What lies between them changes only when the wall clock is set.

A clock that is set back is followed at once. One that is set ahead is followed once it has stayed there for a minute:
what is due, expires or is pruned by a clock that was wrong for seconds could not be taken back.
"""

from __future__ import annotations

import time
from time import clock_gettime_ns, time_ns

#: Less than this is not a step: clocks are slowed down and sped up, and reading two of them takes time.
_STEP_US = 1_000_000
#: How long a clock that was set ahead is doubted.
DOUBT_US = 60_000_000
#: Two clocks that were read with more than this between them are read again: the process was stopped meanwhile.
_TOGETHER_NS = 100_000_000
#: A machine that never tells how long it slept has the other.
_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_us() -> int:
    """Microseconds since this machine started, sleep included."""
    return clock_gettime_ns(_BOOT_CLOCK) // 1000


def both_us() -> tuple[int, int]:
    """What the machine's wall clock and its boot clock show at one moment, in microseconds."""
    while True:
        before = clock_gettime_ns(_BOOT_CLOCK)
        wall = time_ns()
        if clock_gettime_ns(_BOOT_CLOCK) - before <= _TOGETHER_NS:
            return wall // 1000, before // 1000


class SteadyClock:
    """What is believed of a wall clock."""

    def __init__(self) -> None:
        self._ahead_us: int | None = None  # of the boot clock, as believed
        self._doubted: tuple[int, int] | None = None  # by how much it is said to be ahead, and since when

    def saw(self, wall_us: int, boot_us: int) -> int:
        """The instant to believe, when the wall clock says this at that instant of the boot clock."""
        ahead = wall_us - boot_us
        if self._ahead_us is not None and ahead > self._ahead_us + _STEP_US:
            doubted = self._doubted
            if doubted is None or abs(ahead - doubted[0]) > _STEP_US:
                self._doubted = doubted = (ahead, boot_us)
            if boot_us - doubted[1] < DOUBT_US:
                return boot_us + self._ahead_us
        self._ahead_us, self._doubted = ahead, None
        return wall_us

    def at(self, boot_us: int) -> int:
        """The instant that an instant of the boot clock is, by what was seen last."""
        assert self._ahead_us is not None, "asked before the clock was seen"
        return boot_us + self._ahead_us


_machine = SteadyClock()


def machine_now() -> int:
    """The present instant by this machine's clock, in microseconds since 1970."""
    return _machine.saw(*both_us())


class DatabaseClock:
    """The clock of a database that nodes share, who may disagree about the time.

    What it answered last is believed, plus what has passed since on a clock that nobody sets. Before it was asked, what
    this machine says counts.
    """

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
