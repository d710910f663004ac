"""The kernel, called through ctypes; only `mount_calls` does so too. Each function is one call, and raises `OSError`.

`clone` is used instead of `os.fork`: one call makes the child and all its namespaces, which saves a fork for each
attempt. It skips the fork hooks of Python and of the C library. That is sound only because the caller has one thread,
and the child forks again (by `os.fork`, with hooks) before any code but the sandbox's own runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Callable
from functools import partial

libc = ctypes.CDLL(None, use_errno=True)
#: Holds the GIL during the call, so that the child of `clone` has it.
_libc_with_gil = ctypes.PyDLL(None, use_errno=True)

IS_ARM = os.uname().machine in ("aarch64", "arm64")
_SYS_CLONE = 220 if IS_ARM else 56
_SYS_CLOSE_RANGE = 436
_SYS_OPENAT2 = 437
_SYS_SECCOMP = 277 if IS_ARM else 317
_SYS_LANDLOCK_CREATE_RULESET = 444
_SYS_LANDLOCK_ADD_RULE = 445
_SYS_LANDLOCK_RESTRICT_SELF = 446

#: A call whose arguments were made ahead; it returns -1, with the reason in errno, if the kernel refuses.
Prepared = Callable[[], int]

CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

_CAPABILITY_VERSION_3 = 0x20080522
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH, _LANDLOCK_RULE_NET_PORT = 1, 2
_SECCOMP_SET_MODE_FILTER = 1
_CLOCK_BOOTTIME = 7
_AT_FDCWD = -100
_RESOLVE_NO_SYMLINKS = 4


def look_up() -> None:
    """Look up the C library's functions that every attempt calls, so that processes forked from the caller need not."""
    for name in ("syscall", "prctl", "capset", "mount", "umount2", "setns", "unshare", "signalfd", "sigprocmask"):
        getattr(libc, name)


def checked(result: int, call: str) -> int:
    """`result`; raises `OSError` if it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


def prepared(function: str, *arguments: object) -> Prepared:
    """A call of a function of the C library."""
    return partial(getattr(libc, function), *arguments)


def syscall(call: str, number: int, *arguments: object) -> int:
    """A system call for which the C library has no function."""
    return checked(libc.syscall(ctypes.c_long(number), *arguments), call)


def open_place(path: str) -> int:
    """A descriptor (O_PATH) of what is at `path`; ELOOP if any part of the path is a symbolic link."""
    how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_NO_SYMLINKS)
    directory, size = ctypes.c_int(_AT_FDCWD), ctypes.c_size_t(len(how))
    return syscall(f"openat2 {path}", _SYS_OPENAT2, directory, os.fsencode(path), how, size)


def clone(namespaces: int) -> int:
    """Fork into new namespaces (`CLONE_NEW…`), as a sibling with `CLONE_PARENT`. Returns 0 in the child.

    The caller has one thread, and the child forks again, for the reasons at the top of this file.
    """
    flags = ctypes.c_ulong(namespaces | signal.SIGCHLD)
    nothing = ctypes.c_void_p(None)
    return checked(
        _libc_with_gil.syscall(ctypes.c_long(_SYS_CLONE), flags, nothing, nothing, nothing, nothing), "clone"
    )


def setns(namespace: int, kind: int) -> None:
    """Move the caller (for a pid namespace: what it forks) into the namespace that a descriptor stands for."""
    checked(libc.setns(namespace, kind), "setns")


def unshare(namespaces: int) -> None:
    """Move the caller into new namespaces."""
    checked(libc.unshare(ctypes.c_int(namespaces)), "unshare")


def prctl(option: int, value: int = 0) -> int:
    """Set or get one attribute of the caller."""
    zero = ctypes.c_ulong(0)
    return checked(libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero), f"prctl({option})")


def set_process_name(name: bytes) -> None:
    """Name the caller in the process list; the kernel keeps 15 bytes."""
    checked(libc.prctl(PR_SET_NAME, name, 0, 0, 0), "prctl(PR_SET_NAME)")


def drop_bounding_capabilities() -> None:
    """Empty the caller's bounding and ambient sets."""
    drop, zero = ctypes.c_int(PR_CAPBSET_DROP), ctypes.c_ulong(0)
    for capability in range(64):
        if libc.prctl(drop, ctypes.c_ulong(capability), zero, zero, zero) != 0:
            break  # EINVAL: this kernel has no more. EPERM, below full: what is not held cannot be dropped
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)


def set_capabilities(bits: int) -> None:
    """Keep only these of the caller's capabilities (bits below 32), effective and permitted."""
    checked(capabilities_call(bits)(), "capset")


def capabilities_call(bits: int) -> Prepared:
    """The call that `set_capabilities` makes."""
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    return prepared("capset", header, struct.pack("6I", bits, bits, 0, 0, 0, 0))


def close_range(first: int, last: int = 0xFFFFFFFF) -> None:
    """Close the descriptors from `first` to `last`, both included."""
    checked(libc.syscall(_SYS_CLOSE_RANGE, first, last, 0), "close_range")


def set_signal_mask(mask: int) -> None:
    """Block the signals whose bits (from 0, for signal 1) are set, and no others.

    `signal.pthread_sigmask` makes an enum member of each signal that was blocked, which takes longer than a namespace.
    """
    checked(libc.sigprocmask(ctypes.c_int(signal.SIG_SETMASK), _signal_set(mask), None), "sigprocmask")


def _signal_set(mask: int) -> bytes:
    return struct.pack("Q", mask) + bytes(120)  # glibc's sigset_t has 128 bytes, the kernel reads 8


def signalfd(signals: set[signal.Signals]) -> int:
    """A descriptor that is readable when one of these signals, which the caller has blocked, is pending."""
    mask = sum(1 << (number - 1) for number in signals)
    return checked(
        libc.signalfd(ctypes.c_int(-1), _signal_set(mask), ctypes.c_int(os.O_CLOEXEC | os.O_NONBLOCK)), "signalfd"
    )


def timerfd_boottime() -> int:
    """A timer that counts on CLOCK_BOOTTIME, as a descriptor; not set yet."""
    return checked(libc.timerfd_create(ctypes.c_int(_CLOCK_BOOTTIME), ctypes.c_int(os.O_CLOEXEC)), "timerfd_create")


def set_timer(timer: int, at_ns: int) -> None:
    """Make the timer's descriptor readable from this instant of its clock on."""
    record = struct.pack("llll", 0, 0, at_ns // 10**9, at_ns % 10**9)
    absolute = ctypes.c_int(1)
    checked(libc.timerfd_settime(ctypes.c_int(timer), absolute, record, None), "timerfd_settime")


def landlock_abi() -> int:
    """The version of Landlock that this kernel offers."""
    size, flags = ctypes.c_size_t(0), ctypes.c_uint(_LANDLOCK_CREATE_RULESET_VERSION)
    return syscall("landlock_create_ruleset", _SYS_LANDLOCK_CREATE_RULESET, None, size, flags)


def landlock_ruleset(attributes: bytes) -> int:
    """A new ruleset by `attributes` (`struct landlock_ruleset_attr`), as a descriptor."""
    size, flags = ctypes.c_size_t(len(attributes)), ctypes.c_uint(0)
    return syscall("landlock_create_ruleset", _SYS_LANDLOCK_CREATE_RULESET, attributes, size, flags)


def landlock_grant(ruleset: int, place: int, rights: int) -> None:
    """Allow `rights` on the file or folder `place` and all below it."""
    _add_rule(ruleset, _LANDLOCK_RULE_PATH_BENEATH, struct.pack("=Qi", rights, place))


def landlock_grant_port(ruleset: int, port: int, rights: int) -> None:
    """Allow `rights` on a TCP port."""
    _add_rule(ruleset, _LANDLOCK_RULE_NET_PORT, struct.pack("=QQ", rights, port))


def _add_rule(ruleset: int, kind: int, rule: bytes) -> None:
    flags = ctypes.c_uint(0)
    syscall("landlock_add_rule", _SYS_LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(kind), rule, flags)


def landlock_call(ruleset: int, flags: int) -> Prepared:
    """The call that restricts its caller to a ruleset."""
    return prepared("syscall", _SYS_LANDLOCK_RESTRICT_SELF, ruleset, flags)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def filter_call(instructions: bytes) -> Prepared:
    """The call that applies a BPF program (`struct sock_filter`, 8 bytes each) to every later system call."""
    program = _FilterProgram(len(instructions) // 8, instructions)
    return prepared("syscall", _SYS_SECCOMP, _SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(program))
