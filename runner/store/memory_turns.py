"""For whom free memory is kept: so that a task that needs much is not starved, and starves nobody.

A task whose turn it is, but whose memory is not free, would wait for ever while smaller ones take every byte that
comes free; keeping what is free for it could stop all others for ever, beside an attempt that never ends. So memory is
kept for a while, then given to others as long, then kept again twice as long, up to a longest time. While it is kept,
what ends is added to it; since the times grow, one of them outlasts the attempts that are in the way. Where several
tasks wait for memory, each has a time in turn.

This is in memory only: after a restart, waiting begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runner.store.records import TaskKey

_FIRST_US = 10_000_000
_LONGEST_US = 900_000_000


class _Phase(NamedTuple):
    number: int
    is_kept: bool
    ends_after_us: int


class MemoryTurns:
    """Since when some task waits for memory, and what follows from it."""

    def __init__(self) -> None:
        self._since: int | None = None
        self._waiting: frozenset[TaskKey] = frozenset()

    def keeps(self, now: int) -> bool:
        """Whether memory is kept now, should a task wait for it."""
        return self._since is None or _phase(self._elapsed(now)).is_kept

    def reserved(self, waiting: Sequence[TaskKey], now: int) -> TaskKey | None:
        """The one of these tasks for which all free memory is kept now, `None` while others may have it."""
        if self._since is None:
            self._since = now
        self._waiting = frozenset(waiting)
        phase = _phase(self._elapsed(now))
        return waiting[phase.number % len(waiting)] if phase.is_kept else None

    def switches_at(self, now: int) -> int:
        """When `reserved` will answer otherwise."""
        elapsed = self._elapsed(now)
        return now - elapsed + _phase(elapsed).ends_after_us

    def started(self, task: TaskKey) -> None:
        """A run of `task` was started: if it waited for memory, waiting begins anew."""
        if task in self._waiting:
            self.nobody_waits()

    def nobody_waits(self) -> None:
        """Every task that may start fits."""
        self._since, self._waiting = None, frozenset()

    def _elapsed(self, now: int) -> int:
        """How long some task has waited; where the clock was set back meanwhile, that begins anew."""
        assert self._since is not None, "asked only while a task waits"
        self._since = min(self._since, now)
        return now - self._since


def _phase(elapsed_us: int) -> _Phase:
    number, begin, length = 0, 0, _FIRST_US
    while elapsed_us >= begin + 2 * length:
        begin += 2 * length
        number += 1
        length = min(2 * length, _LONGEST_US)
    is_kept = elapsed_us < begin + length
    return _Phase(number, is_kept, begin + (length if is_kept else 2 * length))
