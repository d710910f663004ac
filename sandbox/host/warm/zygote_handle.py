"""One zygote as the runner holds it: its attempts, its inits, what it may hold, and how it ends.

Attempts that were forked from a zygote go on when it dies: its zygote supervisor reaps them. So a zygote that
misbehaves is dismissed, which kills that process and what it left, and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from sandbox.errors import SetupError
from sandbox.host.attempt_io import AttemptIO
from sandbox.host.cgroups import cgroup
from sandbox.host.confined import Confined
from sandbox.host.links.line import Line
from sandbox.host.warm.footprint import Footprint
from sandbox.host.warm.standby_pool import StandbyPool
from sandbox.protocol.lease import Lease
from sandbox.spec import Spec


class UnfitHost(str):
    """Why no spec can have a zygote on this host, as the rest of "warming up, it …"."""

    __slots__ = ()


class ZygoteHandle:
    """One zygote as the runner holds it.

    Attributes:
        spec: of its attempts, the name aside.
        lease: under which it runs.
        line: to its zygote supervisor.
        walls: around its attempts, in one line.
        gone: set when all of it is dead.
        standbys: its inits, with standbys or attempts in them.
        attempts: those forked from it that are not dead yet, by their numbers.
        fault: why it was dismissed, as the rest of "warming up, it …"; empty if it was not.
        ready: whether attempts can be forked from it.
        is_retired: whether it ends with the last of its attempts.
    """

    def __init__(
        self,
        spec: Spec,
        lease: Lease | None,
        line: Line,
        group: cgroup.Group,
        provide: Callable[[], AttemptIO],
    ) -> None:
        self.spec, self.lease, self.line = spec, lease, line
        self._footprint: Footprint | None = Footprint(group, spec.limits)
        self.walls = self.fault = ""
        self.standbys = StandbyPool(line, self.dismiss, provide, self._on_inits)
        self.attempts: dict[int, Confined] = {}
        self.ready = False
        self.gone = asyncio.Event()
        self.used_at = self.born_at = time.monotonic()
        self.is_retired = False

    def retire(self) -> None:
        """Take no more attempts; those under way go on, then it ends."""
        self.ready, self.is_retired = False, True
        self._end_if_unused()

    def dismiss(self, fault: str) -> None:
        """Kill the zygote and what it left beside it. Attempts go on; the rest ends with the last of them."""
        if not self.fault:
            self.fault = fault
        if self._footprint is None:
            return
        self._footprint.kill()
        self.standbys.leave()
        self.retire()

    def over(self) -> None:
        """All of it is dead; its cgroup may be used by others."""
        self.ready, self._footprint = False, None
        self.standbys.close()
        self.gone.set()

    @property
    def bytes(self) -> int:
        """The most memory that it can hold, its attempts aside."""
        return 0 if self._footprint is None else self._footprint.bytes(self.standbys.count, self.standbys.waiting)

    @property
    def is_used(self) -> bool:
        """Whether an attempt of it runs or is about to."""
        return bool(self.attempts) or self.standbys.is_wanted

    def warmed_up(self) -> None:
        """Attempts can be forked from it. Raises `OSError`."""
        assert self._footprint is not None, "it lives"
        self._footprint.settle()
        self.ready = True

    def look(self) -> None:
        """Dismiss it if it does anything but what it should."""
        if self._footprint is not None:
            held, inits = self._footprint, self.standbys
            fault = held.fault(inits.forking) or held.overwork(inits.forks) or inits.fault()
            if fault:
                self.dismiss(fault)

    def _on_inits(self, count: int) -> None:
        """Raise its limits for so many inits. Raises `SetupError`."""
        if self._footprint is not None:
            try:
                self._footprint.make_ready_for(count)
            except OSError as error:
                raise SetupError.caused_by("cgroup", error) from error

    def ended(self, number: int) -> None:
        """An attempt of it is dead."""
        self.attempts.pop(number, None)
        self.used_at = time.monotonic()
        self._end_if_unused()

    def _end_if_unused(self) -> None:
        if self.is_retired and not self.attempts:
            self.line.close()
