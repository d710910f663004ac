"""What a node does every minute: look at its schedules and at the clock, and delete what is kept no longer.

The minutes are counted by a clock that nobody sets. A timer waits for a time of the wall clock: one that was set while
that was a day ahead would wait for a day. So timers are set anew soon after the clock was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from runner.catalog import Catalog
from runner.config.sections import RetentionSection
from runner.engine.pruning import prune
from runner.engine.schedules.periodic import Periodic
from runner.errors import RunnerError
from runner.store.clock import boot_us, both_us
from runner.store.contract import Store

_LOOK_S = 5.0  # between two looks whether the clock was set
_EVERY = 12  # of those is a round
_STEP_US = 1_000_000  # less is not a step of a clock

_logger = logging.getLogger(__name__)


class Chores:
    """The chores of one node."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        periodic: Periodic,
        retention: RetentionSection,
        codes_in_use: Callable[[], set[str]],
    ) -> None:
        """`codes_in_use` are the hashes of the snapshots that attempts execute right now."""
        self._store, self._catalog, self._periodic = store, catalog, periodic
        self._retention, self._codes_in_use = retention, codes_in_use
        self._store_ahead_us = self._machine_ahead_us = 0  # of the clock that nobody sets
        self._doing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to do them; the store is open."""
        self._store_ahead_us, self._machine_ahead_us = self._store_ahead(), _machine_ahead()
        self._doing = asyncio.create_task(self._do(), name="chores")

    async def stop(self) -> None:
        """Do no more. Stopping what was not started, or twice, is fine."""
        if self._doing is not None:
            self._doing.cancel()
            await asyncio.gather(self._doing, return_exceptions=True)

    async def _do(self) -> None:
        looks = 0
        while True:
            await asyncio.sleep(_LOOK_S)
            looks += 1
            try:
                if looks % _EVERY == 0:
                    await self.once()
                elif abs(_machine_ahead() - self._machine_ahead_us) > _STEP_US:
                    await self.look_at_clock()
            except Exception as error:  # whatever it is, the next round may succeed
                _logger.warning("the chores of a minute were not all done: %s", error)

    async def once(self) -> None:
        """One round."""
        await self.look_at_clock()
        await prune(self._store, self._retention, self._store.now())
        self._catalog.forget_unused(self._codes_in_use())

    async def look_at_clock(self) -> None:
        """Set the timers anew; tell the store if its clock was set back since the last look."""
        self._machine_ahead_us = _machine_ahead()
        try:
            ahead_us = self._store_ahead()
            if ahead_us < self._store_ahead_us - _STEP_US:
                _logger.warning("the clock was set back by %d s", (self._store_ahead_us - ahead_us) // 1_000_000)
                await self._store.set_back(self._store.now())
            self._store_ahead_us = ahead_us
        except RunnerError as error:
            _logger.warning("what waits by a clock that was ahead is looked at again later: %s", error)
        await self._periodic.refresh_later()

    def _store_ahead(self) -> int:
        return self._store.now() - boot_us()


def _machine_ahead() -> int:
    wall, boot = both_us()
    return wall - boot
