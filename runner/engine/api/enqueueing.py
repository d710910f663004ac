"""Stores new runs for whoever asked, and waits out a short outage of the store meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from runner.backoff import pauses
from runner.domain.run import NewRun, Run, RunDetail
from runner.errors import StoreUnavailableError
from runner.store.contract import Store
from sandbox import Share

_PAUSES_S = (0.05, 1.0)  # first and longest pause between two tries


class Enqueueing:
    """New runs, all or none; `patience_s` is how long an outage of the store is waited out."""

    def __init__(self, store: Store, patience_s: float) -> None:
        self._store, self._patience_s = store, patience_s

    async def enqueue(self, new: Sequence[NewRun], share: Share) -> list[RunDetail]:
        """The runs as they are stored, durably; looked at within a share of the event loop.

        Raises:
            StoreUnavailableError: the store was not to be reached for as long as it was waited for.
        """
        stored, details = await self._store_patiently(new), []
        for pair in zip(new, stored, strict=True):
            await share.rest()
            with share:
                details.append(await self._detail(*pair))
        return details

    async def _store_patiently(self, new: Sequence[NewRun]) -> list[Run]:
        """Try again while the store cannot be reached: a run that is stored already, by its id, is not stored twice."""
        loop, pause_s = asyncio.get_running_loop(), pauses(*_PAUSES_S)
        until = loop.time() + self._patience_s
        while True:
            try:
                # An embedded store is slow now and then, and never silent.
                async with asyncio.timeout_at(until if self._store.is_shared else None):
                    return await self._store.enqueue(new)
            except TimeoutError:
                raise StoreUnavailableError(
                    f"the store did not answer within {self._patience_s:g} s; what was asked may still be done"
                ) from None
            except StoreUnavailableError:
                again_s = next(pause_s)
                if loop.time() + again_s >= until:
                    raise
            await asyncio.sleep(again_s)

    async def _detail(self, new: NewRun, stored: Run) -> RunDetail:
        """The whole of a run that was just scheduled; only an earlier one (by id or idempotency key) has to be read."""
        if stored.id == new.id and stored.attempt_count == 0:
            return RunDetail(run=stored, parameters=new.parameters, result=None, error=None, attempts=())
        return await self._store.get(stored.app, stored.id)
