"""What a task says of its progress: the newest of it is stored, often enough to see it move, however much is said."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from runner import jsonvalue
from runner.domain.run import Claim
from runner.errors import StoreError
from runner.store.contract import Store

_EVERY_S = 0.1


class Progress:
    """The progress of one attempt."""

    def __init__(self, store: Store, claim: Claim) -> None:
        self._store, self._claim = store, claim
        self._newest: str | None = None  # while it is not stored
        self._storing: asyncio.Task[None] | None = None

    def show(self, progress: dict[str, Any]) -> None:
        """Store this one soon, unless a newer one comes before."""
        self._newest = jsonvalue.dumps(progress, limit_bytes=1 << 16)
        if self._storing is None:
            self._storing = asyncio.get_running_loop().create_task(self._go_on())

    async def finish(self) -> None:
        """Store the last one."""
        if self._storing is not None:
            self._storing.cancel()
            await asyncio.gather(self._storing, return_exceptions=True)
        await self._store_newest()

    async def _go_on(self) -> None:
        while self._newest is not None:
            await self._store_newest()
            await asyncio.sleep(_EVERY_S)
        self._storing = None

    async def _store_newest(self) -> None:
        newest = self._newest
        if newest is not None:
            with contextlib.suppress(StoreError):
                await self._store.progress(self._claim, newest)
            if self._newest is newest:
                self._newest = None
