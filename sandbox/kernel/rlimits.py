"""Limits that a process carries itself (rlimits). They hold for each process; what holds for a tree is the cgroup's."""

from __future__ import annotations

import contextlib
import os
import resource

from sandbox.spec import Level, Limits

#: Address space is no memory: without a cgroup it stops only what runs away faster than a watchdog looks.
_DATA_SLACK_BYTES = 1 << 30

#: Enough for a key that must not be swapped.
_LOCKED_BYTES = 64 << 10

#: For the links of a zygote: far more than attempts fit on a machine.
_LINKS = 4096

#: Signals that wait to be delivered, timers among them, and bytes of message queues: both are counted by user, who may
#: be the runner's.
_PENDING_SIGNALS = 1024
_QUEUE_BYTES = 192 << 10


#: Dumps to a file are off with anything this small, dumps to a program with 1 alone: with 0 they are made, by root.
_NO_DUMP = 1


def forbid_dumps() -> None:
    """Have the caller and what it will fork dump no memory, even where a limit of 0 was inherited, if it may."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (_NO_DUMP, _NO_DUMP))


def can_forbid_dumps() -> bool:
    """Whether the limit that was inherited allows it: none can raise it but root."""
    return os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_CORE)[1] != 0


def raise_files() -> int:
    """Let the caller have as many descriptors as it may let itself; how many that is.

    A process may send descriptors while no more than this of its user are on their way (see `messages`).
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def apply(limits: Limits, level: Level, *, most_files: int, counted_memory: bool, is_zygote: bool = False) -> None:
    """Limit the caller and what it will fork.

    Args:
        limits: of the attempt.
        most_files: how many descriptors are the most that any attempt is given.
        level: at full the user namespace makes the limit on processes the attempt's own; below it counts all of the
            user's processes, so those that there are come on top.
        counted_memory: whether a cgroup limits memory already.
        is_zygote: whether attempts are forked from it. They share its user namespace, so a cgroup limits the processes
            of each; it holds a link to the init of each, so they limit their descriptors for themselves.
    """
    _limit(resource.RLIMIT_CORE, _NO_DUMP)
    _limit(resource.RLIMIT_MEMLOCK, _LOCKED_BYTES)
    _limit(resource.RLIMIT_RTPRIO, 0)
    _limit(resource.RLIMIT_NICE, 0)
    _limit(resource.RLIMIT_SIGPENDING, _PENDING_SIGNALS)
    _limit(resource.RLIMIT_MSGQUEUE, _QUEUE_BYTES)
    _limit(resource.RLIMIT_NOFILE, min(limits.open_files + (_LINKS if is_zygote else 0), most_files))
    processes = limits.processes
    if level is not Level.FULL:
        processes += _threads_of_user(os.getuid())
        _limit(resource.RLIMIT_FSIZE, limits.disk_bytes)  # at full, scratch is a filesystem with a size
    if not is_zygote:
        _limit(resource.RLIMIT_NPROC, processes)
    if not counted_memory:
        _limit(resource.RLIMIT_DATA, limits.memory_bytes + _DATA_SLACK_BYTES)


def of_files(most: int) -> tuple[int, int]:
    """What to limit descriptors to."""
    return _within(resource.RLIMIT_NOFILE, most)


def _limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, _within(kind, value))


def _within(kind: int, value: int) -> tuple[int, int]:
    """The soft and the hard limit, of which the latter cannot grow."""
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    return value, value


def _threads_of_user(uid: int) -> int:
    count = 0
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{entry}").st_uid == uid:
                count += len(os.listdir(f"/proc/{entry}/task"))
        except OSError:
            continue  # it ended meanwhile
    return count
