"""Limits on each single process (rlimits). The limits on a whole tree are those of its cgroup."""

from __future__ import annotations

import contextlib
import os
import resource

from sandbox.spec import Level, Limits

#: Address space is not memory: without a cgroup this limit stops only what grows faster than the watchdog looks.
_DATA_SLACK_BYTES = 1 << 30

#: Enough for a key that must not be swapped.
_LOCKED_BYTES = 64 << 10

#: Descriptors for a zygote's links to its inits: far more than attempts fit on a machine.
_LINKS = 4096

#: Pending signals, including timers, and bytes of message queues: both are counted by user, which may be the runner's.
_PENDING_SIGNALS = 1024
_QUEUE_BYTES = 192 << 10


#: A limit of 1 stops dumps to a file and to a program. A limit of 0 does not stop dumps to a program, which runs as
#: root.
_NO_DUMP = 1


def forbid_dumps() -> None:
    """Stop the caller and its later children from dumping memory; an inherited limit of 0 is raised if allowed."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (_NO_DUMP, _NO_DUMP))


def can_forbid_dumps() -> bool:
    """Whether the inherited limit allows that: only root can raise it."""
    return os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_CORE)[1] != 0


def raise_files() -> int:
    """Raise the caller's limit on descriptors as far as it may; returns the limit.

    A process may send descriptors while no more than this of its user are on their way (`protocol.messages`).
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def apply(limits: Limits, level: Level, *, most_files: int, counted_memory: bool, is_zygote: bool = False) -> None:
    """Limit the caller and everything that it forks.

    Args:
        limits: of the attempt.
        most_files: the most descriptors that any attempt may have open.
        level: at full the limit on processes counts in the attempt's own user namespace; below, it counts all of the
            user's processes, so the existing ones are added.
        counted_memory: whether a cgroup limits memory already.
        is_zygote: whether attempts are forked from it. These share its user namespace, so a cgroup limits the processes
            of each. It holds a link to the init of each, so each limits its descriptors itself.
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
    """The soft and hard limit on descriptors."""
    return _within(resource.RLIMIT_NOFILE, most)


def _limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, _within(kind, value))


def _within(kind: int, value: int) -> tuple[int, int]:
    """The soft and hard limit; the hard one cannot be raised."""
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
