"""Control groups: the kernel's own limits on a whole tree, and its own count of what the tree used and was killed for.

One group for each attempt, in a folder of our own (`isolane-` and a hash of the lock file's path): in the v1
hierarchies of memory, pids, cpu and cpuacct, or in v2 where those controllers may be used. The runner makes the group
and keeps it. The task joins it through descriptors before it does anything else, and cannot reach it afterwards.

When its attempt is dead, a group is kept for another one (`pool`). The groups that a killed runner left are found by
the folder's name; what is in them is killed and awaited, and they are removed.
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
    #: Readable when the kernel may have killed something for memory; `kills` says whether it did.
    alarm: int

    def limit(self, limits: Limits) -> None:
        """Set other limits. Raises `OSError`."""

    def kills(self) -> int:
        """How many processes the kernel has killed for memory."""

    def clear_alarm(self) -> None:
        """Make `alarm` unreadable again."""

    def used_bytes(self) -> int:
        """The memory that is in use."""

    def limit_memory(self, limit_bytes: int) -> None:
        """Set another limit on memory. Raises `OSError` if more is in use."""

    def peak_bytes(self) -> int | None:
        """The most memory that was in use at once, `None` if this kernel does not say."""

    def cpu_time_s(self) -> float | None:
        """User and system time of all that was in it, `None` if it was not counted."""

    def processes(self) -> int:
        """How many processes and threads are in it, those included that are dead and not reaped."""

    def kill(self) -> None:
        """Forbid further forks in it, and kill everything that is in it."""

    def remove(self) -> None:
        """Give the group back; nothing in it may be alive."""


class Groups(Protocol):
    """Where groups are made on this host."""

    #: Such as "cgroup v1 memory pids cpu".
    description: str

    def create(self, limits: Limits) -> Group:
        """A group with limits that shows no trace of an earlier attempt. Raises `OSError`."""

    def sweep(self) -> None:
        """Kill and remove every group of this lock file. Raises `SetupError` if something does not die."""

    def close(self) -> None:
        """Remove the groups that are kept for reuse, and the folder itself if it is empty then."""


def find(lock_file: Path) -> Groups | None:
    """Where this process may make groups; `None` if it may not."""
    folder = "isolane-" + hashlib.sha256(os.fsencode(lock_file.resolve())).hexdigest()[:16]
    return find_v2(folder) or find_v1(folder)
