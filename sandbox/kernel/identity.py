"""The user of a confined process: an ordinary user without capabilities, to the kernel outside as well as inside.

A runner that is root gives each slot a real uid that nothing else on the host has. Mapping root to an ordinary uid
inside would not be enough: outside it would still be root, and root's files are open to their owner even without
capabilities. If the runner is an ordinary user, its attempts are that user outside.

The kernel counts much by uid (descriptors on their way, pages of pipes, inotify instances, pending signals), so two
runners must not use the same uids. Each launcher draws a range at random, and claims it by a lock on one byte of a file
that only root can open; the kernel drops the lock when the launcher ends. Without such a file (a container without a
writable /run), or between containers with files of their own, two ranges are equal with a chance of one in 65,536.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from dataclasses import dataclass

from sandbox.kernel import syscalls

#: The uid and gid of the task inside, at level full.
INNER_ID = 1000
#: From 0x70000000 to 0x7fffffff: above every range that login.defs, subuid and systemd hand out.
FIRST_UID = 0x7000_0000
_SLOTS = 1 << 12
_CLAIMS = "/run/isolane-uids"
_DRAWS = 100
_CAP_SYS_CHROOT, _CAP_SYS_ADMIN = 18, 21


@dataclass(frozen=True, slots=True)
class HostUser:
    """The user that a confined process is on the host.

    Attributes:
        uid: on the host.
        gid: on the host.
        own: whether that is the runner's own user, so that it need not change.
    """

    uid: int
    gid: int
    own: bool


class HostUsers:
    """The users of attempts that run at the same time, by slot; no other runner uses them meanwhile."""

    def __init__(self) -> None:
        self._is_root = os.geteuid() == 0
        self._claim, self._first_uid = _claim_range() if self._is_root else (-1, 0)

    def of(self, slot: int) -> HostUser:
        """The user of one slot. Raises `OSError` if there are not so many."""
        if not self._is_root:
            return HostUser(os.geteuid(), os.getegid(), own=True)
        if slot >= _SLOTS:
            raise OSError(errno.EAGAIN, f"no more than {_SLOTS} may run at once")
        return HostUser(self._first_uid + slot, self._first_uid + slot, own=False)

    def close(self) -> None:
        """Give the claimed range up."""
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1


def _claim_range() -> tuple[int, int]:
    """A descriptor that claims a range while it is open, -1 if none can be claimed; and the range's first uid."""
    try:
        claim = os.open(_CLAIMS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return -1, _uid_of(_draw())
    for _ in range(_DRAWS):
        number = _draw()
        # The lock belongs to the open file, not to the process: forked processes may close their copies.
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
        try:
            fcntl.fcntl(claim, fcntl.F_OFD_SETLK, lock)
        except BlockingIOError:
            continue
        except OSError:
            break  # this filesystem has no locks
        return claim, _uid_of(number)
    os.close(claim)
    return -1, _uid_of(_draw())


def _draw() -> int:
    return int.from_bytes(os.urandom(2), "big")


def _uid_of(number: int) -> int:
    """The first of a range."""
    return FIRST_UID + number * _SLOTS


def become(identity: HostUser) -> None:
    """Change from root to `identity`, for good."""
    os.setgroups([])
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)


def expose() -> None:
    """Let processes of the same user trace the caller; its files under /proc belong to that user then."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)


def shield() -> None:
    """Keep processes of the same user from tracing the caller and from opening its descriptors and memory."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)


def drop_capabilities() -> None:
    """Give up every capability, and the means to get one back."""
    syscalls.drop_bounding_capabilities()
    syscalls.set_capabilities(0)


def keep_capabilities_to_enter() -> None:
    """Give up every capability but the two that it takes to enter a namespace (setns)."""
    syscalls.drop_bounding_capabilities()
    syscalls.set_capabilities(1 << _CAP_SYS_CHROOT | 1 << _CAP_SYS_ADMIN)


def forbid_new_privileges() -> None:
    """No exec gives the caller or its children more than they have (setuid programs, file capabilities)."""
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
