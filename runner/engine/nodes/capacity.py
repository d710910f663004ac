"""What a node has room for: slots, and memory that the limits of running attempts must stay below.

An attempt that only waits for another run is *parked*: it gives back its slot, and of memory counts only what it has
kept (`runner.engine.attempts.parking`). When its waiting is over it *resumes*, ahead of new attempts. Were every
attempt parked and none could resume for want of memory, all would wait for ever; so the first in line resumes anyway
while nothing runs. So many may be parked and no more; one that works while it waits takes its slot back, also where
none is free.

What the sandbox keeps warm for later attempts may hold what attempts leave. It makes room when they need that, except
for what running attempts were forked from: that counts with them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runner.store.records import Room, TaskKey


@dataclass(slots=True)
class _Tenant:
    limit_bytes: int
    counted_bytes: int
    parked: bool = False


class Capacity:
    """The slots and the memory of one node. Lives on the event loop.

    Args:
        slots: of the node.
        memory_bytes: of the node.
        freed: is called when room appears.
        most_parked: so many may wait for another run at once.
        warm_bytes: tells what is held by what running attempts were forked from.
    """

    def __init__(
        self,
        slots: int,
        memory_bytes: int,
        freed: Callable[[], None],
        *,
        most_parked: int = 100,
        warm_bytes: Callable[[], int] = lambda: 0,
    ) -> None:
        self.slots = slots
        self.memory_bytes = memory_bytes
        self._most_parked = most_parked
        self._freed = freed
        self._warm_bytes = warm_bytes
        self._tenants: dict[str, _Tenant] = {}
        self._resuming: OrderedDict[str, asyncio.Future[None]] = OrderedDict()

    @property
    def slots_free(self) -> int:
        """Slots for new attempts; those that resume go first."""
        return max(0, self._slots_left())

    @property
    def memory_free_bytes(self) -> int:
        """Memory for new attempts, less what those need that resume."""
        kept = sum(self._missing(self._tenants[key]) for key in self._resuming)
        return self.memory_bytes - self._counted() - self._warm() - kept

    def unclaimed_bytes(self) -> int:
        """Memory that is no attempt's, whatever is kept warm in it."""
        return self.memory_bytes - self._counted()

    @property
    def has_parked(self) -> bool:
        """Whether anyone waits for another run, and may resume once that has ended."""
        return any(tenant.parked for tenant in self._tenants.values())

    @property
    def may_park(self) -> bool:
        """Whether one more may be parked."""
        return sum(tenant.parked for tenant in self._tenants.values()) < self._most_parked

    def room(self, needs: Mapping[TaskKey, int], files: Mapping[TaskKey, str], *, without: str | None = None) -> Room:
        """What may be claimed now of tasks with these needs and files, or once the attempt `without` has left."""
        leaving = self._tenants.get(without) if without is not None else None
        return Room(
            slots=max(0, self._slots_left() + (leaving is not None and not leaving.parked)),
            memory_bytes=self.memory_free_bytes + (leaving.counted_bytes if leaving is not None else 0),
            memory_total_bytes=self.memory_bytes,
            needs=needs,
            files=files,
        )

    def enter(self, key: str, limit_bytes: int) -> None:
        """A claimed attempt takes its slot and its memory."""
        self._tenants[key] = _Tenant(limit_bytes, limit_bytes)

    def leave(self, key: str) -> None:
        """An attempt is dead; its room is free."""
        del self._tenants[key]
        waiting = self._resuming.pop(key, None)
        if waiting is not None:
            waiting.cancel()
        self._settle()

    def park(self, key: str, keeps_bytes: int) -> None:
        """An attempt only waits for another run, and cannot use more memory than this meanwhile."""
        tenant = self._tenants[key]
        tenant.parked, tenant.counted_bytes = True, min(keeps_bytes, tenant.limit_bytes)
        self._settle()

    def take_back(self, key: str) -> bool:
        """A parked attempt takes its slot at once, since it uses it; whether there is room for its memory, too."""
        tenant = self._tenants[key]
        tenant.parked = False
        fits = self._missing(tenant) <= self.memory_free_bytes
        if fits:
            tenant.counted_bytes = tenant.limit_bytes
        self._settle()  # it may be in line already, for a slot
        return fits

    async def resume(self, key: str) -> None:
        """Return once an attempt that was parked has its slot and its memory again."""
        self._resuming[key] = asyncio.get_running_loop().create_future()
        waiting = self._resuming[key]
        self._settle()
        try:
            await waiting
        except asyncio.CancelledError:
            if self._resuming.pop(key, None):
                self._settle()
            raise

    def _settle(self) -> None:
        """Let in whoever resumes, in order, then tell that the rest is free."""
        while self._resuming:
            key, waiting = next(iter(self._resuming.items()))
            tenant = self._tenants[key]
            others = self._running() - (not tenant.parked)
            has_slot = not tenant.parked or others < self.slots
            fits = self._counted() + self._warm() + self._missing(tenant) <= self.memory_bytes
            if others and not (has_slot and fits):
                break
            del self._resuming[key]
            tenant.parked, tenant.counted_bytes = False, tenant.limit_bytes
            if not waiting.done():
                waiting.set_result(None)
        self._freed()

    def _slots_left(self) -> int:
        return self.slots - self._running() - sum(self._tenants[key].parked for key in self._resuming)

    def _running(self) -> int:
        return sum(not tenant.parked for tenant in self._tenants.values())

    def _counted(self) -> int:
        return sum(tenant.counted_bytes for tenant in self._tenants.values())

    def _warm(self) -> int:
        # While nothing runs, what waits may have been forked from it, and could never go on for its sake.
        return self._warm_bytes() if self._running() else 0

    @staticmethod
    def _missing(tenant: _Tenant) -> int:
        return tenant.limit_bytes - tenant.counted_bytes
