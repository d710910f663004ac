"""Ids that sort by the time they were made: UUID version 7 (RFC 9562).

48 bits of milliseconds, 12 bits of their fraction, 62 random bits. Within a process each id is greater than the one
before, also when the clock stands still or goes back: the time part then moves on by its smallest step. The `uuid`
module is not used, since its import costs a task more than this does.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock

_lock = allocate_lock()
_last = 0


def uuid7() -> str:
    """A new id in its canonical form, such as "019a1b2c-7d3e-7abc-8def-0123456789ab"."""
    global _last  # noqa: PLW0603 - the order within a process is a property of the process
    nanoseconds = time.time_ns()
    ticks = nanoseconds // 1_000_000 << 12 | nanoseconds % 1_000_000 * 4096 // 1_000_000
    with _lock:
        _last = ticks = max(ticks, _last + 1)
    random = int.from_bytes(os.urandom(8), "big") >> 2
    digits = f"{ticks >> 12 & 0xFFFF_FFFF_FFFF:012x}7{ticks & 0xFFF:03x}{1 << 63 | random:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
