"""The memory limit where no cgroup can be had: measures whole process trees, and says when one has passed its limit.

A thread of its own, so that a busy event loop does not delay it. Resident sizes are summed first, which is cheap and
never too low; only where that sum passes the limit are shared pages told apart (proportional set size), which costs a
walk over the process's mappings.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

_PERIOD_S = 0.02
#: A look walks over all processes of the machine; where they are many it is taken less often: a share of a core.
_SHARE = 0.1


def tree_memory(pid: int, *, exactly: bool = True) -> int:
    """Bytes of memory that the process and its descendants use together; 0 when it is gone."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(_memory(process, exactly=exactly) for process in processes)


def _memory(process: psutil.Process, *, exactly: bool) -> int:
    try:
        if exactly:
            return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        pass  # of another user: the resident size is as near as one gets
    except psutil.Error:
        return 0
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


@dataclass(frozen=True, slots=True)
class _Watched:
    limit_bytes: int
    on_excess: Callable[[int], None]


class Watchdog:
    """Watches the trees that are given to it; `on_excess` is called from its thread, once, with the bytes measured."""

    def __init__(self) -> None:
        self._watched: dict[int, _Watched] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def watch(self, pid: int, limit_bytes: int, on_excess: Callable[[int], None]) -> None:
        """Watch the tree of `pid` until `forget`."""
        with self._changed:
            self._watched[pid] = _Watched(limit_bytes, on_excess)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="memory watchdog", daemon=True)
                self._thread.start()
            self._changed.notify()

    def forget(self, pid: int) -> None:
        """Watch it no more; forgetting twice is fine."""
        with self._changed:
            self._watched.pop(pid, None)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        period_s = _PERIOD_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._watched or self._closing)
                self._changed.wait_for(lambda: self._closing, period_s)
                if self._closing:
                    return
                watched = list(self._watched.items())
            began = time.thread_time()
            for pid, tree in watched:
                if tree_memory(pid, exactly=False) > tree.limit_bytes:
                    used = tree_memory(pid)
                    if used > tree.limit_bytes:
                        self.forget(pid)
                        tree.on_excess(used)
            period_s = max(_PERIOD_S, (time.thread_time() - began) / _SHARE)
