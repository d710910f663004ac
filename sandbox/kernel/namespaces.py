"""Namespaces: which are made, and what has to be set up in each before it can be used."""

from __future__ import annotations

import contextlib
import os
import signal

from sandbox.kernel import syscalls
from sandbox.kernel.identity import INNER_ID, HostUser

#: Limits of the user namespace. The kernel counts these also for the user outside: the runner's user has 128 inotify
#: instances, and needs some itself.
_QUOTAS = {"max_inotify_instances": 4, "max_inotify_watches": 1024}


def clone_flags(identity: HostUser, *, network: bool) -> int:
    """The namespaces that `clone` makes. Under root the user namespace is made later, after the uid changes."""
    flags = (
        syscalls.CLONE_NEWPID
        | syscalls.CLONE_NEWNS
        | syscalls.CLONE_NEWIPC
        | syscalls.CLONE_NEWUTS
        | syscalls.CLONE_NEWCGROUP
    )
    if identity.own:
        flags |= syscalls.CLONE_NEWUSER
    if not network:
        flags |= syscalls.CLONE_NEWNET
    return flags


def write_proc(proc: int, path: str, text: str) -> None:
    """Write a file of the /proc that is open as `proc`."""
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def map_identity(proc: int, identity: HostUser) -> None:
    """In a new user namespace, become `INNER_ID`; no other user or group exists there."""
    write_proc(proc, "self/setgroups", "deny")
    write_proc(proc, "self/gid_map", f"{INNER_ID} {identity.gid} 1")
    write_proc(proc, "self/uid_map", f"{INNER_ID} {identity.uid} 1")


def limit_user_namespace(proc: int) -> None:
    """Forbid nested user namespaces, which would give capabilities back; limit what is counted by user."""
    write_proc(proc, "sys/user/max_user_namespaces", "0")
    for name, most in _QUOTAS.items():
        with contextlib.suppress(FileNotFoundError):  # a kernel without it
            write_proc(proc, f"sys/user/{name}", str(most))


def open_owner_map(identity: HostUser) -> int:
    """A user namespace for idmapped mounts, in which the runner's own ids on disk are those of `identity`.

    A child is forked into it, its maps are written, and it is killed; the descriptor keeps the namespace.
    """
    child = syscalls.clone(syscalls.CLONE_NEWUSER)
    if child == 0:
        while True:
            signal.pause()
    try:
        proc = os.open(f"/proc/{child}", os.O_PATH | os.O_CLOEXEC)
        try:
            write_proc(proc, "uid_map", f"{os.geteuid()} {identity.uid} 1")
            write_proc(proc, "gid_map", f"{os.getegid()} {identity.gid} 1")
            return os.open("ns/user", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
        finally:
            os.close(proc)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
