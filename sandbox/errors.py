"""What can go wrong with the sandbox itself. How a confined process ended is never an exception: see `sandbox.Outcome`.

SandboxError
├── SetupError       a step of the confinement failed; names the step and the kernel's answer
├── LauncherError    the launcher died or could not be started; what it had launched is dead
└── WireError        what was received is not a frame, or what was to be sent cannot be written as one
"""

from __future__ import annotations

import errno as numbers
import os

#: How much of a step's name, and of the reason why it failed, one process tells another.
STEP_CHARS = 100
REASON_CHARS = 1000


def printable(text: str, most: int) -> str:
    """At most `most` characters of another process's text, with control characters escaped, for terminals and logs."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:most])


class SandboxError(Exception):
    """Root of all errors of the sandbox."""


class SetupError(SandboxError):
    """A step of the confinement failed on this host; nothing of the task was run.

    Attributes:
        step: what was being done, such as "private root".
        reason: why it failed.
        errno: the kernel's error number, if the kernel refused.
    """

    def __init__(self, step: str, reason: str, errno: int | None = None) -> None:
        self.step = step
        self.reason = reason
        self.errno = errno
        answer = "" if errno is None else f" [{numbers.errorcode.get(errno, errno)}]"
        super().__init__(f"{step}: {reason}{answer}")

    @classmethod
    def caused_by(cls, step: str, error: Exception) -> SetupError:
        """The error for a step that failed with `error`."""
        if isinstance(error, OSError):
            reason = error.strerror or os.strerror(error.errno or 0)
            where = f" ({error.filename})" if error.filename is not None else ""
            return cls(step, f"{reason}{where}", error.errno)
        return cls(step, f"{type(error).__name__}: {error}")

    def to_document(self) -> dict[str, str | int | None]:
        """As JSON, for another process."""
        return {"step": self.step[:STEP_CHARS], "reason": self.reason[:REASON_CHARS], "errno": self.errno}


class LauncherError(SandboxError):
    """The launcher died or could not be started; everything that it had launched is dead."""


class WireError(SandboxError):
    """Not a frame: too long, cut off, not strict JSON, not an object. A channel that received it is useless."""
