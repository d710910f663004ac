"""How a confined process ended: facts, no guesses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one confined process; nothing of its tree is alive then.

    Attributes:
        exit_code: of the process, `None` if a signal ended it or it was killed with its supervisor.
        signal: the signal that ended it, `None` if it exited.
        memory_kills: how many processes of the tree the kernel killed for the memory limit; 1 if the watchdog killed
            the tree. Version 2 counts the process that it chose twice, since it kills the whole tree with it.
        peak_memory_bytes: of the tree, if a cgroup counted it; else the most that was measured of the tree or, if that
            is more, of the largest process; `None` if not known.
        cpu_time_s: of the tree, user and system; without a cgroup, as far as it was measured; `None` if not known.
        wall_time_s: from the launch to the end.
        lease_over: whether it was ended because its lease was over.
        complaint: what a warm attempt reported of its start; not to be relied on.
        walls: the level and the walls that stood, such as "full: user pid mount …; limits: cgroup-v1".
    """

    exit_code: int | None
    signal: int | None
    memory_kills: int
    peak_memory_bytes: int | None
    cpu_time_s: float | None
    wall_time_s: float
    walls: str
    lease_over: bool = False
    complaint: str = ""

    @classmethod
    def unseen(cls, walls: str) -> Outcome:
        """The outcome of a process that is dead, and whose end nobody saw."""
        return cls(
            exit_code=None,
            signal=None,
            memory_kills=0,
            peak_memory_bytes=None,
            cpu_time_s=None,
            wall_time_s=0.0,
            walls=walls,
        )

    def describe_exit(self) -> str:
        """How the process ended, as the rest of a sentence: "exited with code 3", "was killed by SIGSEGV"."""
        said = f' and said, of itself, "{self.complaint}"' if self.complaint else ""
        return f"{self._exit()}{said}"

    def _exit(self) -> str:
        import signal as signals  # noqa: PLC0415 - rarely needed, and the attempt's own process imports this module

        if self.signal is not None:
            try:
                return f"was killed by {signals.Signals(self.signal).name}"
            except ValueError:
                return f"was killed by signal {self.signal}"
        if self.exit_code is not None:
            return f"exited with code {self.exit_code}"
        if self.lease_over:
            return "was killed at the end of its lease"
        return "was killed with its supervisor"
