"""Wakes whoever waits for a run to reach its final status."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict

from runner.domain.run import RunDetail
from runner.store.contract import Notice, Store


class Endings:
    """Futures of runs that somebody waits for, resolved by the store's notices."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: defaultdict[tuple[str, str], set[asyncio.Future[None]]] = defaultdict(set)
        self._unlisten = store.listen(self._on_notice)

    def close(self) -> None:
        """Stop listening; whoever still waits is cancelled."""
        self._unlisten()
        for futures in self._waiting.values():
            for future in futures:
                future.cancel()

    async def wait(self, app: str, run: str, timeout_s: float | None) -> RunDetail:
        """The run when it is final, or as it stands after `timeout_s` seconds (`None`: however long it takes).

        Raises:
            NotFoundError: no such run in this app.
        """
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Registered before the look at the store: an end in between is not missed.
        self._waiting[app, run].add(ended)
        try:
            detail = await self._store.get(app, run)
            if detail.run.status.is_final or timeout_s == 0:
                return detail
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended, timeout_s)
            return await self._store.get(app, run)
        finally:
            waiting = self._waiting[app, run]
            waiting.discard(ended)
            if not waiting:
                del self._waiting[app, run]

    def _on_notice(self, notice: Notice) -> None:
        for run in notice.ended:
            for future in self._waiting.get((run.app, run.id), ()):
                if not future.done():
                    future.set_result(None)
