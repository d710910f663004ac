"""Whether anything was changed in the scratch space of an attempt: if not, it serves the next one as it is.

Whatever is done to a folder, or to what it holds, moves its ctime, and nobody can set that. A file without a name takes
room, and a socket in flight may hold one longer than any process lives. From Linux 6.13 on each change that follows a
look at it has a date of its own. Older kernels date by a clock that moves in ticks of some milliseconds, so nothing can
be said there until it has left the tick of the last change.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterable

from sandbox.kernel.rootfs import SCRATCH

#: How much of it is free, blocks and files, and when the folders of it were last changed, in nanoseconds.
State = tuple[int, ...]
#: CLOCK_REALTIME_COARSE, which moves in ticks.
_COARSE_CLOCK = 5
_TRIES = 8


def folders(shown: Iterable[str]) -> list[str]:
    """All of a fresh scratch space in which `shown` are mounted: what is in those is no part of it."""
    found = list(SCRATCH)
    for path in shown:
        while (path := os.path.dirname(path)) not in found:
            found.append(path)
    return found


def state(of: Iterable[str]) -> State | None:
    """Equal states of `folders`, nothing was changed in between; `None` where that cannot be told from now on."""
    each_change_is_dated = _dates_each_change()
    changed = tuple(os.stat(folder).st_ctime_ns for folder in of)
    if each_change_is_dated or max(changed) < time.clock_gettime_ns(_COARSE_CLOCK):
        room = os.statvfs(SCRATCH[0])
        return room.f_bfree, room.f_ffree, *changed
    return None


@functools.cache
def _dates_each_change() -> bool:
    """Whether changes within one tick have dates of their own: several in a row do, not just one that meets its end."""
    folder, dates = SCRATCH[0], set()
    mode = os.stat(folder).st_mode & 0o7777
    for _ in range(_TRIES):
        os.chmod(folder, mode)
        dates.add(os.stat(folder).st_ctime_ns)
    return len(dates) == _TRIES
