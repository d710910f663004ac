"""Parents and children: dying with the parent, and leaving no descendant behind.

After the parent-death signal is set, it has to be checked that the parent is alive: it may have died before. A process
in a pid namespace of its own cannot see its parent, so it checks a pipe whose other end only the launcher holds.
Without a pid namespace, supervisor and launcher adopt orphans (PR_SET_CHILD_SUBREAPER), so that no descendant can leave
the tree by forking twice.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Collection

from sandbox.errors import SetupError
from sandbox.kernel import syscalls


def die_with_parent() -> None:
    """Have the kernel kill the caller when its parent ends. Changing the uid clears it: set it again after that."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)


def check_alive(life: int) -> None:
    """Raise `SetupError` if the process that holds the other end of the pipe `life` is dead."""
    poller = select.poll()
    poller.register(life, 0)
    if poller.poll(0):
        raise SetupError("tie to the launcher", "the launcher is gone")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)


def descendants(ancestor: int, *, without: Collection[int] = ()) -> list[int]:
    """Every living descendant of a process, by /proc, parents first.

    Children of `ancestor` that are in `without` are left out, with their descendants.
    """
    children: dict[int, list[int]] = {}
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", "rb") as stat:
                fields = stat.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if fields[0] not in (b"Z", b"X"):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [pid for pid in children.get(ancestor, ()) if pid not in without]
    for pid in found:  # grows while it is walked
        found += children.get(pid, ())
    return found


def kill_descendants() -> None:
    """Kill every descendant of the caller, which has adopted orphans, and wait until none is left."""
    while True:
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            os.waitpid(-1, 0)  # blocks only while a killed child ends; its children are adopted for the next round
        except ChildProcessError:
            return
