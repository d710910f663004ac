"""Names with `*`, which stands for any characters, none and dots included. Nothing else is special."""

from __future__ import annotations

import re
from functools import lru_cache


def is_pattern(name: str) -> bool:
    """Whether the name stands for many."""
    return "*" in name


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern covers the name."""
    return _compiled(pattern).fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\*+", pattern)), re.DOTALL)
