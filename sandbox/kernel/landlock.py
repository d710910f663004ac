"""Landlock: restricts what a process may do to files, TCP and other processes.

At level full it repeats what mounts and namespaces do, so that one hole in either is not enough. At level restricted it
is the wall: of the host only the layout and the mounts of the spec can be read.

A ruleset names the rights that it handles; a right that is handled and not granted is denied. The kernel's ABI, a
number that grows, tells which rights there are; rights that this kernel does not know are not handled.

It does not cover changing modes and owners, `stat`, `chdir`, sockets by path, UDP, and other protocols on top of TCP.
The mounts, the network namespace and seccomp do.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sandbox.kernel import syscalls

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_BIND_TCP, _CONNECT_TCP = 1, 2
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11

#: The least ABI of each group of rights on files. Without "refer" (ABI 1) no file can change its folder.
_FILE_RIGHTS = ((1, (1 << 13) - 1), (2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEVICE))
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_DEVICE = _READ_FILE | _WRITE_FILE | _READ_DIR | _TRUNCATE | _IOCTL_DEVICE
#: The rights that exist for a file; the kernel refuses to grant others on one.
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE

_TCP_ABI, _SCOPES_ABI, _QUIET_ABI = 4, 6, 7
#: What older kernels lack, for reports: an ABI and what it added.
LATER_RIGHTS = (
    (3, "truncation"),
    (_TCP_ABI, "TCP"),
    (5, "device control"),
    (_SCOPES_ABI, "abstract sockets and signals"),
)
#: Denials are not logged: a hostile task would fill the host's audit log.
_NO_AUDIT = 0b101


@dataclass(frozen=True, slots=True)
class Grants:
    """The rights that stay granted.

    Attributes:
        read: folders and files to read and execute.
        mounted: the same, but an error if a symbolic link leads there.
        write: folders and files with all rights; also an error if a symbolic link leads there.
        devices: folders and files to read, write and control, not to make or remove.
        tcp: whether TCP sockets may be bound and connected.
        ports: TCP ports that may be connected to, at any address, if `tcp` is not set.
    """

    read: tuple[str, ...]
    mounted: tuple[str, ...]
    write: tuple[str, ...]
    devices: tuple[str, ...]
    tcp: bool
    ports: tuple[int, ...] = ()


@functools.cache
def abi() -> int:
    """The ABI of this kernel, 0 without Landlock."""
    try:
        return syscalls.landlock_abi()
    except OSError:
        return 0


def missing() -> str:
    """Why Landlock is not available on this host; empty if it is."""
    if abi():
        return ""
    try:
        syscalls.landlock_abi()
    except OSError as error:
        return f"no Landlock in this kernel or container ({error.strerror})"
    return ""


def scopes_signals() -> bool:
    """Whether it refuses signals to processes that are not under the same rules."""
    return abi() >= _SCOPES_ABI


def describe() -> str:
    """The wall as reports name it."""
    return f"landlock {abi()}"


def restrict(grants: Grants) -> None:
    """Restrict the caller and everything that it forks, for good. Needs no_new_privs. Raises `OSError`."""
    rules = ruleset(grants)
    try:
        syscalls.checked(enforcing(rules)(), "landlock_restrict_self")
    finally:
        os.close(rules)


def ruleset(grants: Grants) -> int:
    """The ruleset, as a descriptor; paths are looked up as the caller sees them. Raises `OSError`."""
    handled = _handled_on_files()
    rules = syscalls.landlock_ruleset(_attributes(handled, tcp=grants.tcp))
    try:
        for paths, rights in ((grants.read, _READ), (grants.devices, _DEVICE)):
            _grant(rules, paths, rights & handled, _open)
        for paths, rights in ((grants.mounted, _READ), (grants.write, handled)):
            _grant(rules, paths, rights & handled, syscalls.open_place)
        if abi() >= _TCP_ABI and not grants.tcp:
            for port in grants.ports:
                syscalls.landlock_grant_port(rules, port, _CONNECT_TCP)
    except BaseException:
        os.close(rules)
        raise
    return rules


def enforcing(rules: int) -> syscalls.Prepared:
    """The call that restricts its caller, and everything that this forks, to rules, for good. Needs no_new_privs."""
    return syscalls.landlock_call(rules, _NO_AUDIT if abi() >= _QUIET_ABI else 0)


def _handled_on_files() -> int:
    return sum(rights for least, rights in _FILE_RIGHTS if abi() >= least)


def _attributes(handled: int, *, tcp: bool) -> bytes:
    """`struct landlock_ruleset_attr` in the length that this ABI knows."""
    words = [handled]
    if abi() >= _TCP_ABI:
        words.append(0 if tcp else _BIND_TCP | _CONNECT_TCP)
    if abi() >= _SCOPES_ABI:
        words.append(_ABSTRACT_SOCKETS_AND_SIGNALS)
    return struct.pack(f"{len(words)}Q", *words)


def _open(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def _grant(rules: int, paths: Iterable[str], rights: int, open_place: Callable[[str], int]) -> None:
    for path in paths:
        try:
            place = open_place(path)
        except FileNotFoundError:
            continue  # there is nothing to grant
        try:
            syscalls.landlock_grant(rules, place, rights)
        except OSError:
            syscalls.landlock_grant(rules, place, rights & _OF_A_FILE)  # EINVAL: it is a file
        finally:
            os.close(place)
