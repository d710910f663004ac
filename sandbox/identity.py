"""Who a confined process is: an ordinary user without capabilities, to the kernel outside as well as inside.

A runner that is root gives each slot a real uid of its own that nothing else on the host has. Mapping root to an
ordinary uid inside would not do: outside it would still be root, and root's files are open to their owner even without
capabilities. A runner that is an ordinary user stays that user outside.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from sandbox import syscalls

#: Who the task is inside, at level full.
INNER_ID = 1000
#: 0x70000000: above every range that login.defs, subuid and systemd hand out.
_SLOT_BASE = 1_879_048_192
_CAP_SYS_CHROOT, _CAP_SYS_ADMIN = 18, 21


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a confined process is outside.

    Attributes:
        uid: on the host.
        gid: on the host.
        own: whether that is the runner's own user, so that there is nothing to change to.
    """

    uid: int
    gid: int
    own: bool


def identity_for(slot: int) -> Identity:
    """The identity of one of the attempts that run at the same time."""
    if os.geteuid() != 0:
        return Identity(os.geteuid(), os.getegid(), own=True)
    return Identity(_SLOT_BASE + slot, _SLOT_BASE + slot, own=False)


def become(identity: Identity) -> None:
    """Change from root to `identity`, for good."""
    os.setgroups([])
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)


def expose() -> None:
    """Let the caller be seen and traced by its own user; its files under /proc belong to that user then."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)


def shield() -> None:
    """Keep processes of the same user from tracing the caller and from opening its descriptors and memory."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)


def drop_capabilities() -> None:
    """Give up every capability, and the means to get one back."""
    syscalls.drop_bounding_capabilities()
    syscalls.set_capabilities(0)


def keep_capabilities_to_enter() -> None:
    """Give up every capability but those that it takes to enter a namespace (setns)."""
    syscalls.drop_bounding_capabilities()
    syscalls.set_capabilities(1 << _CAP_SYS_CHROOT | 1 << _CAP_SYS_ADMIN)


def forbid_new_privileges() -> None:
    """No exec gives the caller or its children more than they have (setuid programs, file capabilities)."""
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
