"""Whether attempts may be forked from a zygote, as its zygote supervisor learns from the kernel.

A module that was imported in the zygote can falsify what the zygote checks of itself (`fork_safety`). Those checks are
a convenience for honest modules, which learn more exactly what they left. This one is the wall. It is done once, before
the first attempt. Later each init checks that its standby is alone and has one thread, and the runner checks, by the
zygote's cgroup, that only the zygote and the standbys that it forks are in there.
"""

from __future__ import annotations

import os

#: Standard streams, the link to the supervisor, and its copy that reserves the number of a standby's control socket.
_DESCRIPTORS = frozenset("01234")


def obstacle(zygote: int) -> str:
    """Why no attempt can be forked from this child of the caller, a PID 1, as the rest of "warming up, it …"."""
    try:
        return _processes(zygote) or _threads(zygote) or _files(zygote) or _shared_memory(zygote)
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"


def _processes(zygote: int) -> str:
    others = {entry for entry in os.listdir("/proc") if entry.isdecimal()} - {"1", str(zygote)}
    return f"left {len(others)} process{'es' if len(others) > 1 else ''}" if others else ""


def _threads(zygote: int) -> str:
    threads = len(os.listdir(f"/proc/{zygote}/task")) - 1
    return f"left {threads} thread{'s' if threads > 1 else ''}" if threads else ""


def _files(zygote: int) -> str:
    for name in set(os.listdir(f"/proc/{zygote}/fd")) - _DESCRIPTORS:
        return f"left {os.readlink(f'/proc/{zygote}/fd/{name}')} open"
    return ""


def _shared_memory(zygote: int) -> str:
    """Writable shared memory; also what is read-only now and may be made writable, the file being open for writing."""
    with open(f"/proc/{zygote}/maps", "rb") as maps:
        if not any(b"s" in line.split(b" ", 2)[1] for line in maps):
            return ""
    with open(f"/proc/{zygote}/smaps", "rb") as maps:
        flags = [line.split()[1:] for line in maps if line.startswith(b"VmFlags:")]
    return "left shared memory" if any(b"sh" in each and b"mw" in each for each in flags) else ""
