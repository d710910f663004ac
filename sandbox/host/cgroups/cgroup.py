"""Control groups: the kernel's own limits on a whole tree, and its own count of what the tree used and was killed for.

One group for each attempt, in a folder of our own (`isolane-` and a hash of the lock file's path) beside whatever
there is: in the v1 hierarchies of memory, pids, cpu and cpuacct, or in v2 where those controllers may be used. The
runner makes the group and keeps it; the task joins it through descriptors before it does anything, and cannot reach it
afterwards.

When its attempt is dead, a group is kept for another one (`cgroup_pool`). What a killed runner left is found by the
folder's name: killed, awaited, removed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Protocol

from sandbox.host.cgroups.version1 import find_v1
from sandbox.host.cgroups.version2 import find_v2
from sandbox.spec import Limits


class Group(Protocol):
    """The group of one attempt."""

    #: Files of the runner to which the task writes "0", while it has one thread, in order to join.
    procs: tuple[int, ...]
    #: Readable when it may be that the kernel killed something for memory; `kills` says whether.
    alarm: int

    def limit(self, limits: Limits) -> None:
        """Hold it to other limits. Raises `OSError`."""

    def kills(self) -> int:
        """How many processes the kernel has killed for memory."""

    def clear_alarm(self) -> None:
        """Make `alarm` unreadable again."""

    def used_bytes(self) -> int:
        """The memory that is in use."""

    def limit_memory(self, limit_bytes: int) -> None:
        """Have another limit on memory from now on. Raises `OSError` where more is in use."""

    def peak_bytes(self) -> int | None:
        """The most memory that was in use at once, `None` if this kernel does not say."""

    def cpu_time_s(self) -> float | None:
        """User and system time of all that was in it, `None` if it was not counted."""

    def processes(self) -> int:
        """How many processes and threads there are in it, until they are buried."""

    def kill(self) -> None:
        """Let nothing more be forked in it, and kill all that there is."""

    def remove(self) -> None:
        """Have done with the group, in which nothing lives any more."""


class Groups(Protocol):
    """Where groups are made on this host."""

    #: Such as "cgroup v1 memory pids cpu".
    description: str

    def create(self, limits: Limits) -> Group:
        """A group with limits, in which nothing was ever run or nothing of that shows. Raises `OSError`."""

    def sweep(self) -> None:
        """Kill and remove every group of this lock file. Raises `SetupError` if something does not die."""

    def close(self) -> None:
        """Remove the groups that are kept, and the folder itself if nothing is left in it."""


def find(lock_file: Path) -> Groups | None:
    """The groups that this process may make, `None` where there are none to be had."""
    folder = "isolane-" + hashlib.sha256(os.fsencode(lock_file.resolve())).hexdigest()[:16]
    return find_v2(folder) or find_v1(folder)
