"""The memory limit where no cgroup can be had: measures whole process trees, and says when one has passed its limit.

A thread of its own, so that a busy event loop does not delay it. Resident sizes are summed first, which is cheap and
never too low; only where that sum passes the limit are shared pages told apart (proportional set size), which costs a
walk over the process's mappings.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psutil

_PERIOD_S = 0.02
#: A look walks over all processes of the machine; where they are many it is taken less often: a share of a core.
_SHARE = 0.1


def tree_memory(pid: int) -> int:
    """Bytes of memory that the process and its descendants use together; 0 when it is gone."""
    try:
        return _measure(psutil.Process(pid), _proportional)
    except psutil.NoSuchProcess:
        return 0


def _measure(root: psutil.Process, size: Callable[[psutil.Process], int]) -> int:
    """The sum of `size` over a tree. Raises `NoSuchProcess` when its root is gone, its pid taken by another too."""
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += size(process)
        except psutil.NoSuchProcess:
            continue
    return total


def _resident(process: psutil.Process) -> int:
    return int(process.memory_info().rss)


def _proportional(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:  # of another user: the resident size is as near as one gets
        return _resident(process)


class Watchdog:
    """Watches the trees that are given to it for as long as they live."""

    def __init__(self) -> None:
        self._watched: dict[psutil.Process, tuple[int, Callable[[], object]]] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def watch(self, pid: int, limit_bytes: int, on_excess: Callable[[], object]) -> None:
        """Watch the tree of `pid`; `on_excess` is called once, from the watchdog's thread, when it passes its limit."""
        try:
            root = psutil.Process(pid)
        except psutil.NoSuchProcess:
            return
        with self._changed:
            self._watched[root] = limit_bytes, on_excess
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="memory watchdog", daemon=True)
                self._thread.start()
            self._changed.notify()

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
            for root, (limit_bytes, on_excess) in watched:
                if self._is_done(root, limit_bytes, on_excess):
                    with self._changed:
                        del self._watched[root]
            period_s = max(_PERIOD_S, (time.thread_time() - began) / _SHARE)

    @staticmethod
    def _is_done(root: psutil.Process, limit_bytes: int, on_excess: Callable[[], object]) -> bool:
        """Look at one tree; whether it has to be watched no more."""
        try:
            if _measure(root, _resident) <= limit_bytes or _measure(root, _proportional) <= limit_bytes:
                return root.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        on_excess()
        return True
