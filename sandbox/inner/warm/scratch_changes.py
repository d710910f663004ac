"""Whether an attempt changed anything in its scratch space: if not, the next attempt uses it as it is.

Every change of a folder, or of what it holds, moves the folder's ctime, and no process can set that. A file without a
name takes space, and a socket in flight may hold one longer than any process lives. From Linux 6.13 on, a change that
follows a look at the ctime gets another one. Older kernels take it from a clock that moves in ticks of some
milliseconds, so there nothing can be told until the tick of the last change is over.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterable

from sandbox.kernel.rootfs import SCRATCH

#: How many blocks and files are free, and the ctimes of its folders, in nanoseconds.
State = tuple[int, ...]
#: CLOCK_REALTIME_COARSE, which moves in ticks.
_COARSE_CLOCK = 5
_TRIES = 8


def folders(shown: Iterable[str]) -> list[str]:
    """All folders of a fresh scratch space in which `shown` are mounted, without those inside the mounts."""
    found = list(SCRATCH)
    for path in shown:
        while (path := os.path.dirname(path)) not in found:
            found.append(path)
    return found


def state(of: Iterable[str]) -> State | None:
    """The state of these folders: if it is equal later, nothing was changed. `None` if that could not be told later."""
    each_change_is_dated = _dates_each_change()
    changed = tuple(os.stat(folder).st_ctime_ns for folder in of)
    if each_change_is_dated or max(changed) < time.clock_gettime_ns(_COARSE_CLOCK):
        room = os.statvfs(SCRATCH[0])
        return room.f_bfree, room.f_ffree, *changed
    return None


@functools.cache
def _dates_each_change() -> bool:
    """Whether changes within one tick get different ctimes; several are tried, since a tick may end between two."""
    folder, dates = SCRATCH[0], set()
    mode = os.stat(folder).st_mode & 0o7777
    for _ in range(_TRIES):
        os.chmod(folder, mode)
        dates.add(os.stat(folder).st_ctime_ns)
    return len(dates) == _TRIES
