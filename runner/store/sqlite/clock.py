"""The clock of an embedded store is the machine's."""

from __future__ import annotations

import time


def now() -> int:
    """The present instant, in microseconds since 1970."""
    return time.time_ns() // 1000
