"""One row of the table of system calls, and the verdicts that most rows have."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from sandbox.kernel.bpf import ALLOW, Rule, deny

ALLOWED = ALLOW
#: The call exists, and the task may not make it.
DENIED = deny(errno.EPERM)
#: As on a kernel that has no such call: libraries do without it then.
ABSENT = deny(errno.ENOSYS)
#: As on a filesystem that has no such thing: what copies files does without it then.
UNSUPPORTED = deny(errno.EOPNOTSUPP)
#: As when its user has too many of them already.
NONE_LEFT = deny(errno.EMFILE)


@dataclass(frozen=True, slots=True)
class Call:
    """A system call, and the verdicts on it.

    Attributes:
        name: as the kernel calls it.
        x86_64: its number there, `None` if it has none.
        aarch64: its number there. From 424 on the numbers are equal.
        full: the verdict where namespaces and mounts stand.
        restricted: the verdict where processes, ipc and files are the host's.
        why: in a few words: what it reaches, or what of it is refused.
    """

    name: str
    x86_64: int | None
    aarch64: int | None
    full: Rule
    restricted: Rule
    why: str
