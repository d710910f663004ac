"""The limit on memory where no cgroup is available: trees are measured, and reported once they pass their limit.

It runs in a thread of its own, so that a busy event loop does not delay it, while there is something to watch. Between
two looks a process can take more than its limit; the rlimit on its data bounds how much more.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from sandbox.host.tree_memory import ProcessTree

_PERIOD_S = 0.02
#: A look at many processes takes long, so they are looked at less often: the watchdog takes this share of a core.
_SHARE = 0.1


class Watched:
    """One tree.

    Attributes:
        limit_bytes: on what it may use; may be changed while it is watched.
        used_bytes: what it used at the last look.
        peak_bytes: the most that was seen in use at once.
        cpu_time_s: the most cpu time that was seen, user and system.
    """

    def __init__(self, tree: ProcessTree, limit_bytes: int, on_excess: Callable[[], object]) -> None:
        self.used_bytes = self.peak_bytes = 0
        self.cpu_time_s = 0.0
        self.limit_bytes = limit_bytes
        self._tree, self._on_excess = tree, on_excess

    def look(self) -> bool:
        """Measure it; whether it need not be watched any more."""
        if not self._tree.is_alive():
            return True
        self.used_bytes = self._tree.used_bytes(self.limit_bytes)
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)
        self.see_cpu_time(self._tree.cpu_time_s())
        if self.used_bytes <= self.limit_bytes:
            return False
        with contextlib.suppress(RuntimeError):  # the event loop that it would be reported to has ended
            self._on_excess()
        return True

    def see_cpu_time(self, cpu_time_s: float) -> None:
        """Take in that it has used at least so much."""
        self.cpu_time_s = max(self.cpu_time_s, cpu_time_s)


class Watchdog:
    """Watches the trees that are given to it for as long as they live."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch(self, tree: ProcessTree, limit_bytes: int, on_excess: Callable[[], object]) -> Watched:
        """Watch a tree; `on_excess` is called once, from the watchdog's thread, when it passes its limit."""
        watched = Watched(tree, limit_bytes, on_excess)
        with self._changed:
            self._watched.add(watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="memory watchdog", daemon=True)
                self._thread.start()
        return watched

    def forget(self, watched: Watched) -> None:
        """Watch it no more."""
        with self._changed:
            self._watched.discard(watched)
            self._changed.notify()

    def close(self) -> None:
        """Watch nothing more, and wait until the thread has ended."""
        with self._changed:
            self._watched.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        period_s = _PERIOD_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._watched, period_s)
                if not self._watched:
                    self._thread = None
                    return
                watched = list(self._watched)
            began = time.thread_time()
            for each in watched:
                if each.look():
                    self.forget(each)
            period_s = max(_PERIOD_S, (time.thread_time() - began) / _SHARE)
