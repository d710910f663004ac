"""Renews the lease of one identity of this node, in a thread with an event loop of its own.

Whatever keeps the node's own loop busy, the lease is kept; what is cut off from the store, stopped or starved for the
whole of it loses it. After each renewal the attempts' supervisors are told how long they may go on: for the length of
the lease, counted from before the store was asked, so that their time is over before anybody else's count of it is.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from concurrent.futures import Future

from runner.engine.nodes.node import Identity
from runner.store.contract import Lease, Store
from sandbox.loops import new_event_loop
from sandbox.protocol.lease import boot_clock_ns

#: Of the length of the lease: how often it is renewed, how long one renewal may take, and the pause after a failure.
_EVERY, _WITHIN, _AGAIN = 1 / 3, 1 / 3, 1 / 20

_logger = logging.getLogger(__name__)


class Heartbeat:
    """Beats from `start` to `stop`, or until the identity is lost.

    Attributes:
        lost: done when the identity is lost, with the reason as the rest of a sentence.
    """

    def __init__(self, store: Store, identity: Identity, lease_s: float) -> None:
        self._identity, self._lease_s = identity, lease_s
        self._renewal = store.lease(identity.id, within_s=lease_s * _WITHIN)
        self._rng = random.Random()
        self._loop = new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self.lost: Future[str] = Future()

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; returns when the thread has ended. Stopping twice is fine."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        if not self._loop.is_closed():
            self._loop.close()

    def _run(self) -> None:
        reason: str | None = "its heartbeat failed, which is a bug of isolane; please report it"
        try:
            reason = self._loop.run_until_complete(self._beat(self._renewal))
        except Exception:
            _logger.exception("the heartbeat of node %s failed", self._identity.id)
        if reason is not None:
            self.lost.set_result(reason)

    async def _beat(self, renewal: Lease) -> str | None:
        """Renew until stopped (`None`) or lost (why)."""
        lease, pause_s = self._identity.lease, self._lease_s * _EVERY
        try:
            while not await self._is_stopped_within(pause_s):
                asked_ns = boot_clock_ns()
                try:
                    if not await renewal.renew():
                        return "was declared dead by another node"
                    pause_s = self._lease_s * _EVERY
                    if lease is not None:
                        lease.extend(asked_ns + round(self._lease_s * 1e9))
                except Exception as error:  # whatever it is, the next try may succeed
                    _logger.warning("cannot renew the lease of node %s: %s", self._identity.id, error)
                    pause_s = self._lease_s * _AGAIN * self._rng.uniform(0.5, 1)
                if lease is not None and lease.is_over:
                    return f"could not renew its lease for all of its {self._lease_s:g} s"
            return None
        finally:
            await renewal.close()

    async def _is_stopped_within(self, pause_s: float) -> bool:
        try:
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True
