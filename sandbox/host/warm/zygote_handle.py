"""One zygote, as the runner holds it: its attempts, its inits, what it may hold, and how it is done with.

Whatever becomes of the process that forks, attempts that were forked from it go on: its zygote supervisor reaps them.
So one that does what it should not is dismissed, which ends that process and what it left, and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from sandbox.errors import SetupError
from sandbox.host.attempt_io import AttemptIO
from sandbox.host.cgroups import cgroup
from sandbox.host.confined import Confined
from sandbox.host.line import Line
from sandbox.host.warm.footprint import Footprint
from sandbox.host.warm.standby_pool import StandbyPool
from sandbox.protocol.lease import Lease
from sandbox.spec import Spec


class UnfitHost(str):
    """Why no zygote of any spec is ready, as the rest of "warming up, it …": what the host lacks."""

    __slots__ = ()


class ZygoteHandle:
    """One zygote, as the runner holds it.

    Attributes:
        spec: of its attempts, the name aside.
        lease: under which it runs.
        line: to its zygote supervisor.
        walls: around its attempts, in one line.
        gone: set when all of it is dead.
        standbys: where its attempts are, and what stands by to be one.
        attempts: those that are forked from it and not yet dead, by their numbers.
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
        """Take no more attempts; those that there are go on, then it ends."""
        self.ready, self.is_retired = False, True
        self._end_if_unused()

    def dismiss(self, fault: str) -> None:
        """Kill the process that forks, and what it left beside it. Attempts go on, and it all ends with the last."""
        if not self.fault:
            self.fault = fault
        if self._footprint is None:
            return
        self._footprint.kill()
        self.standbys.leave()
        self.retire()

    def over(self) -> None:
        """All of it is dead, and its cgroup may serve others."""
        self.ready, self._footprint = False, None
        self.standbys.close()
        self.gone.set()

    @property
    def bytes(self) -> int:
        """What it can hold, its attempts aside."""
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
        """See whether it does what it should, and nothing else; if not, it is dismissed."""
        if self._footprint is not None:
            held, inits = self._footprint, self.standbys
            fault = held.fault(inits.forking) or held.overwork(inits.forks) or inits.fault()
            if fault:
                self.dismiss(fault)

    def _on_inits(self, count: int) -> None:
        """There will be so many inits. Raises `SetupError`."""
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
