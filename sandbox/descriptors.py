"""Descriptors: a confined process holds those that it was given, and no other."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable

from sandbox import syscalls


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
