"""What a zygote holds of the machine while no attempt of it runs, and whether that is the zygote and nothing else.

While it warms up, its cgroup has the limits of an attempt. Then these are lowered to what it holds and what it takes to
fork, and a standby that waits is limited to 16 MB. So it is known what all zygotes together can hold, and the runner
counts that when it shares out memory. Imported modules cannot change any of it: the kernel limits and counts.
"""

from __future__ import annotations

import dataclasses
import time

from sandbox.host.cgroups.cgroup import Group
from sandbox.spec import Limits

#: What a standby may hold until it is an attempt.
_WAITING_BYTES = 16 << 20
#: What a zygote supervisor takes, and each init: forks of the launcher that run little.
_PROCESS_BYTES = 3 << 20
#: What a zygote may take beside what it holds when it is ready.
_SLACK_BYTES = 16 << 20
#: What a fork takes: pages that the standby writes to before it has a cgroup of its own, and page tables, which are at
#: most this part of the memory that it shares.
_FORK_BYTES, _TABLES = 2 << 20, 256
#: The limits are raised for so many more inits at a time.
_STEP = 8
#: The most processor time that may be used between two looks: so much, and so much for each fork.
_LOOK_CPU_S, _FORK_CPU_S = 0.25, 0.1
#: A process that was killed, or has just been forked, may be in the cgroup for so long.
_LOOK_AGAIN_S = 1.0


class Footprint:
    """The cgroup of one zygote."""

    def __init__(self, group: Group, limits: Limits) -> None:
        self._group = group
        self._limits = limits
        self._most_bytes = limits.memory_bytes
        self._is_warm = False
        self._base_bytes = 0
        self._inits = 0
        self._cpu_time_s = 0.0
        self._forks = 0
        self._suspected_at: float | None = None

    def bytes(self, inits: int, waiting: int) -> int:
        """The most that it can hold beside its attempts, with so many inits and waiting standbys."""
        return self._limits.memory_bytes + (1 + inits) * _PROCESS_BYTES + waiting * _WAITING_BYTES

    def settle(self) -> None:
        """It has warmed up: lower its limits to what it holds now. Raises `OSError`."""
        self._is_warm = True
        self._base_bytes = self._group.used_bytes()
        self._cpu_time_s = self._group.cpu_time_s() or 0.0
        self.make_ready_for(1)

    def make_ready_for(self, inits: int) -> None:
        """Let it fork into so many inits at once. Raises `OSError`."""
        if not self._is_warm or inits <= self._inits:
            return
        self._inits = -(-inits // _STEP) * _STEP
        forks_bytes = self._inits * (_FORK_BYTES + self._base_bytes // _TABLES)
        memory = min(self._base_bytes + _SLACK_BYTES + forks_bytes, self._most_bytes)
        self._limits = dataclasses.replace(self._limits, memory_bytes=memory, processes=1 + self._inits)
        self._group.limit(self._limits)

    def fault(self, forking: int) -> str:
        """Why its number of processes is wrong, as the rest of "warming up, it …"; empty if it is not.

        `forking` standbys may be in its cgroup besides.
        """
        if self._group.processes() <= 1 + forking:
            self._suspected_at = None
            return ""
        now = time.monotonic()
        if self._suspected_at is None:
            self._suspected_at = now
        return "left processes" if now - self._suspected_at >= _LOOK_AGAIN_S else ""

    def overwork(self, forks: int) -> str:
        """Why its processor time since the last look is wrong, in the same form; `forks` counts all it ever made."""
        before, self._cpu_time_s = self._cpu_time_s, self._group.cpu_time_s() or 0.0
        fewer, self._forks = self._forks, forks
        is_much = self._cpu_time_s - before > _LOOK_CPU_S + (forks - fewer) * _FORK_CPU_S
        return "left what works on by itself" if is_much else ""

    def kill(self) -> None:
        """Kill all processes in it: the zygote, what it left, and standbys that have no cgroup of their own yet."""
        self._group.kill()


def while_waiting(limits: Limits) -> Limits:
    """The limits of a standby that will become an attempt with `limits`."""
    return dataclasses.replace(limits, memory_bytes=min(limits.memory_bytes, _WAITING_BYTES))


def is_idle(group: Group) -> bool:
    """Whether the standby in this cgroup does nothing but wait."""
    return group.processes() == 1 and (group.cpu_time_s() or 0.0) < _LOOK_CPU_S
