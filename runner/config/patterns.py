"""Names with `*`, which stands for any characters, none and dots included. Nothing else is special."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


def is_pattern(name: str) -> bool:
    """Whether the name stands for many."""
    return "*" in name


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern covers the name."""
    return _compiled(pattern).fullmatch(name) is not None


def grants(patterns: Iterable[str], task: str, origin: str) -> bool:
    """Whether what is given by patterns is given to a task.

    `origin` is what the task would be called by its file alone, which cannot choose that. A name that the file chose
    counts as well, so it may give away what its file is given, and takes nothing of what others are given.
    """
    patterns = list(patterns)
    return all(any(matches(pattern, name) for pattern in patterns) for name in (task, origin))


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\*+", pattern)), re.DOTALL)
