"""An attempt that would take a minute and leaves a trace all the while, so that its death can be dated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: The first attempt takes a minute, or until it is let go; any later one returns at once.
MINUTE = """
import fcntl, os, time

def run(parameters, context):
    trace = os.open("/shared/trace", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    lock = os.open("/shared/lock", os.O_WRONLY | os.O_CREAT, 0o644)

    def tell(what):
        os.write(trace, f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME)} {context.attempt} {what}\\n".encode())

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell("overlap")
        raise
    tell("begin")
    until = time.monotonic() + (60 if context.attempt == 1 else 0)
    while time.monotonic() < until and not os.path.exists("/shared/go"):
        time.sleep(0.05)
        tell("tick")
    tell("end")
    return context.attempt
"""


@dataclass(frozen=True)
class Told:
    """One line of the trace; `at_ns` is by the clock that counts since this machine's start."""

    at_ns: int
    attempt: int
    what: str


class Trace:
    """What the attempts wrote into a folder that they share."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "trace"

    def told(self) -> list[Told]:
        if not self._path.exists():
            return []
        lines = [line.split() for line in self._path.read_text().splitlines()]
        return [Told(int(at_ns), int(attempt), what) for at_ns, attempt, what in lines]

    def begun(self) -> list[int]:
        """Which attempts began, in their order."""
        return [told.attempt for told in self.told() if told.what == "begin"]

    def check_second_followed_first(self) -> None:
        """The first attempt was interrupted, and silent from before the second began."""
        told = self.told()
        first = [each for each in told if each.attempt == 1]
        second = told[len(first) :]
        assert [each.attempt for each in told] == [1] * len(first) + [2] * len(second), "attempts were mixed"
        assert [each.what for each in first] == ["begin"] + ["tick"] * (len(first) - 1), "the first was not interrupted"
        assert [each.what for each in second] == ["begin", "end"]
        assert first[-1].at_ns < second[0].at_ns

    def ticks_between(self, begin_ns: int, end_ns: int) -> int:
        """How often an attempt told that it lives, between two instants of `boot_clock_ns`."""
        return sum(told.what == "tick" and begin_ns < told.at_ns < end_ns for told in self.told())
