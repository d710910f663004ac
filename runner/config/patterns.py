"""Names with `*`, which stands for any characters, none and dots included. Nothing else is special."""

from __future__ import annotations

from collections.abc import Iterable


def is_pattern(name: str) -> bool:
    """Whether the name stands for many."""
    return "*" in name


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern covers the name.

    A regular expression would try every way to divide the name among the stars. Here each part between two stars takes
    the first place where it stands after the part before: if there is any way, that is one.
    """
    first, *middle = pattern.split("*")
    if not middle:
        return pattern == name
    last = middle.pop()
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def grants(patterns: Iterable[str], task: str, origin: str) -> bool:
    """Whether what is given by patterns is given to a task.

    `origin` is what the task would be called by its file alone, which cannot choose that. A name that the file chose
    counts as well, so it may give away what its file is given, and takes nothing of what others are given.
    """
    patterns = list(patterns)
    return all(any(matches(pattern, name) for pattern in patterns) for name in (task, origin))
