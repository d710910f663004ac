"""The limit on memory where no cgroup can be had: the tree is measured, and killed when it has passed its limit.

Resident sizes are summed first, which is cheap and never too low; only where that sum passes the limit are shared
pages told apart (proportional set size), which costs the kernel a walk over the process's mappings. Between two looks
a process can take more than its limit; how much more, the rlimit on its data bounds.
"""

from __future__ import annotations

import asyncio
import os

from sandbox import kinship
from sandbox.confined import Confined

_PERIOD_S = 0.02
_KNOWS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # without: a look at all processes
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Watches one confined process; run `watch` beside it.

    Attributes:
        peak_bytes: the most that was seen in use at once.
    """

    def __init__(self, confined: Confined, limit_bytes: int) -> None:
        self.peak_bytes = 0
        self._confined = confined
        self._limit = limit_bytes

    async def watch(self) -> None:
        """Look until the tree has passed its limit; then kill it. Cancel it when the tree is dead."""
        while not self._is_over():  # noqa: ASYNC110 - nothing tells of memory that grows
            await asyncio.sleep(_PERIOD_S)
        self._confined.kill_for_memory()

    def _is_over(self) -> bool:
        pids = _tree(self._confined.pid)
        used = sum(map(_resident, pids))
        if used > self._limit:
            used = sum(map(_proportional, pids))
        self.peak_bytes = max(self.peak_bytes, used)
        return used > self._limit


def _tree(pid: int) -> list[int]:
    """The process and its descendants, as far as they live."""
    if not _KNOWS_CHILDREN:
        return [pid, *kinship.descendants(pid)]
    tree = [pid]
    for each in tree:  # grows while it is walked
        try:
            threads = os.listdir(f"/proc/{each}/task")
        except OSError:  # it ended meanwhile
            continue
        for thread in threads:
            tree += map(int, _read(f"/proc/{each}/task/{thread}/children").split())
    return tree


def _resident(pid: int) -> int:
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE_BYTES if fields else 0


def _proportional(pid: int) -> int:
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) << 10
    return _resident(pid)  # of another user, or just gone


def _read(path: str) -> bytes:
    """What is in the file; nothing if its process ended meanwhile."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
