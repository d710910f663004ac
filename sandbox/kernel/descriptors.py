"""Descriptors: a confined process holds those that it was given, and no others."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterable

from sandbox.kernel import syscalls


def keep_only(kept: Iterable[int]) -> None:
    """Close every descriptor of the caller but these."""
    first = 0
    for descriptor in sorted(set(kept)):
        if descriptor > first:
            syscalls.close_range(first, descriptor - 1)
        first = descriptor + 1
    syscalls.close_range(first)


def duplicate_above(highest: int, descriptor: int) -> int:
    """A copy of `descriptor` with a number above `highest`, closed on exec."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, highest + 1)


def open_streams() -> None:
    """Make text streams for the caller's own descriptors: the launcher's streams were made for other files.

    Printing a lone surrogate must not raise. Streams are flushed after each line, since a log is made of lines.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        stream = open(  # noqa: SIM115 - open as long as the process
            descriptor, mode, encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
