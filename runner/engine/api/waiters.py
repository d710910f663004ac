"""Wakes whoever waits for a run to reach its final status."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict

from runner.domain.run import RunDetail
from runner.errors import StoreUnavailableError
from runner.store.contract import Store
from runner.store.records import Notice

#: How long a notice may be overdue from another node before the store is asked.
_LOOK_AGAIN_S = 5.0
_OUTAGE_S = 0.5
_HEARD_S = 1.0


class Waiters:
    """Futures of runs that somebody waits for, resolved by the store's notices."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._look_again_s = _LOOK_AGAIN_S if store.is_shared else float("inf")
        self._waiting: defaultdict[tuple[str, str], set[asyncio.Future[None]]] = defaultdict(set)
        self._nobody_waits: dict[tuple[str, str], asyncio.Event] = {}  # of runs that have ended
        self._unlisten = store.listen(self._on_notice)

    def close(self) -> None:
        """Stop listening; whoever still waits is cancelled."""
        self._unlisten()
        self._unlisten = lambda: None
        for futures in self._waiting.values():
            for future in futures:
                future.cancel()

    async def wait(self, app: str, run: str, timeout_s: float | None) -> RunDetail:
        """The run when it is final, or as it stands after `timeout_s` seconds (`None`: however long it takes).

        Raises:
            NotFoundError: no such run in this app.
        """
        loop = asyncio.get_running_loop()
        until = float("inf") if timeout_s is None else loop.time() + timeout_s
        ended: asyncio.Future[None] = loop.create_future()
        # Registered before the look at the store: an end in between is not missed.
        self._waiting[app, run].add(ended)
        try:
            detail = await self._store.get(app, run)
            while not detail.run.status.is_final and (left_s := until - loop.time()) > 0:
                pause_s = min(left_s, self._look_again_s)
                await asyncio.wait({ended}, timeout=None if pause_s == float("inf") else pause_s)
                if ended.cancelled():
                    raise asyncio.CancelledError
                try:
                    detail = await self._store.get(app, run)
                except StoreUnavailableError:  # it waits through an outage
                    await asyncio.sleep(min(left_s, _OUTAGE_S))
            return detail
        finally:
            waiting = self._waiting[app, run]
            waiting.discard(ended)
            if not waiting:
                del self._waiting[app, run]
                if (heard := self._nobody_waits.pop((app, run), None)) is not None:
                    heard.set()

    async def heard(self, app: str, run: str) -> None:
        """Return when all who wait here for the end of this run, which is stored, know of it; or after a while."""
        if (app, run) in self._waiting:
            heard = self._nobody_waits.setdefault((app, run), asyncio.Event())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HEARD_S):
                    await heard.wait()

    def _on_notice(self, notice: Notice) -> None:
        for run in notice.ended:
            for future in self._waiting.get((run.app, run.id), ()):
                if not future.done():
                    future.set_result(None)
