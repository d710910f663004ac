"""What attempts cannot inherit from the process that they are forked from, or must not share with each other.

A module that leaves such a thing when it is imported still works, but not in a zygote: each attempt imports it anew.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Collection

from sandbox.kernel import rootfs

#: What the sandbox calls after the import, in a process in which the import could have replaced it.
_OWN = {
    f"{module.__name__}.{name}": (module, name, getattr(module, name))
    for module, names in (
        (os, ("fork", "read", "write", "close", "open", "waitpid", "wait4", "kill", "getpid")),
        (select, ("poll",)),
        (signal, ("signal",)),
        (socket, ("socket", "recv_fds", "send_fds")),
    )
    for name in names
}


_LOOKS_AT_THREADS = 100
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_SYSTEM_V = ("msg", "sem", "shm")


def scratch() -> set[str]:
    """The paths in the folders for scratch space."""
    return {f"{folder}/{name}" for folder in rootfs.SCRATCH for name in os.listdir(folder)}


def obstacle(descriptors: Collection[int], before: Collection[str]) -> str:
    """Why no attempt can be forked from the caller, as the rest of "warming up, it …"; empty if attempts can.

    Args:
        descriptors: those that may be open.
        before: what `scratch` returned before the warming up.
    """
    return (
        _threads()
        or _processes()
        or _files(descriptors)
        or _shared_memory()
        or _system_v()
        or _scratch(before)
        or _folder()
        or _timers()
        or _signals()
        or _replaced()
    )


def _threads() -> str:
    for _ in range(_LOOKS_AT_THREADS):
        count = len(os.listdir("/proc/self/task")) - 1
        if not count:
            return ""
        time.sleep(0.001)  # a thread that was joined may not have ended quite yet
    return f"started {count} thread{'s' if count > 1 else ''}"


def _processes() -> str:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return ""
    return "started processes"


def _files(descriptors: Collection[int]) -> str:
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in descriptors:
            try:
                return f"opened {os.readlink(f'/proc/self/fd/{name}')}"
            except FileNotFoundError:
                continue  # the descriptor by which the folder was listed
    return ""


def _shared_memory() -> str:
    with open("/proc/self/maps", "rb") as maps:
        permissions = [line.split(b" ", 2)[1] for line in maps]
    return "made shared memory" if any(b"w" in each and b"s" in each for each in permissions) else ""


def _system_v() -> str:
    for kind in _SYSTEM_V:
        try:
            with open(f"/proc/sysvipc/{kind}", "rb") as listing:
                if len(listing.readlines()) > 1:
                    return "made System V IPC objects"
        except FileNotFoundError:
            continue  # this kernel has none
    return ""


def _scratch(before: Collection[str]) -> str:
    written = scratch().difference(before)
    return f"wrote {min(written)}" if written else ""


def _folder() -> str:
    return "" if os.getcwd() == rootfs.SCRATCH[0] else "went to another folder"


def _timers() -> str:
    return "set a timer" if any(signal.getitimer(timer)[0] for timer in _TIMERS) else ""


def _signals() -> str:
    default = signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
    return "" if default else "took charge of SIGCHLD"  # a handler may reap attempts before the zygote does


def _replaced() -> str:
    for name, (module, attribute, own) in _OWN.items():
        if getattr(module, attribute) is not own:
            return f"replaced {name}"
    return ""
