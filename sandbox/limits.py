"""Limits that a process carries itself (rlimits). They hold for each process; what holds for a tree is the cgroup's."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from sandbox.spec import Level, Limits

#: Address space is no memory: without a cgroup it stops only what runs away faster than a watchdog looks.
_DATA_SLACK_BYTES = 1 << 30

#: Enough for a key that must not be swapped.
_LOCKED_BYTES = 64 << 10


def apply(limits: Limits, level: Level, *, counted_memory: bool, counted_processes: bool = False) -> None:
    """Limit the caller and what it will fork.

    Args:
        limits: of the attempt.
        level: at full the user namespace makes the limit on processes the attempt's own; below it counts all of the
            user's processes, so those that there are come on top.
        counted_memory: whether a cgroup limits memory already.
        counted_processes: whether a cgroup limits processes, and others of the same user namespace are not to count.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_MEMLOCK, _LOCKED_BYTES)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    processes = limits.processes
    if level is not Level.FULL:
        processes += _threads_of_user(os.getuid())
        _limit(resource.RLIMIT_FSIZE, limits.disk_bytes)  # at full, scratch is a filesystem with a size
    if not counted_processes:
        _limit(resource.RLIMIT_NPROC, processes)
    if not counted_memory:
        _limit(resource.RLIMIT_DATA, limits.memory_bytes + _DATA_SLACK_BYTES)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _threads_of_user(uid: int) -> int:
    count = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if entry.stat().st_uid == uid:
                    count += len(os.listdir(entry / "task"))
            except OSError:
                continue  # it ended meanwhile
    return count
