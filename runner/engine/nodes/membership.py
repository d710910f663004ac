"""Makes this node a member of those that share the store, and again after it was lost.

Losing its identity costs a node what it had claimed, nothing else: the attempts are dead by their supervisors' hand,
what is recorded of them carries tokens that count or do not, and the node goes on under a fresh id as soon as the store
answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version

from runner.backoff import pauses
from runner.engine.nodes.capacity import Capacity
from runner.engine.nodes.heartbeat import Heartbeat
from runner.engine.nodes.node import Identity, Node
from runner.errors import RunnerError
from runner.store.contract import Store
from runner.store.records import NodeInfo
from sandbox import Lease, Sandbox
from sandbox.protocol.lease import boot_clock_ns

_PAUSES_S = (0.05, 5.0)  # first and longest pause between two tries to join

_logger = logging.getLogger(__name__)


class Membership:
    """Joins, rejoins and leaves.

    Each time the node is known to the store, `announce` tells which tasks it has; `joined` is called when it may claim.
    """

    def __init__(
        self,
        store: Store,
        node: Node,
        capacity: Capacity,
        sandbox: Sandbox,
        lease_s: float,
        *,
        announce: Callable[[], Awaitable[None]],
        joined: Callable[[], None],
    ) -> None:
        self._store, self._node, self._capacity, self._sandbox = store, node, capacity, sandbox
        self._lease_s, self._announce, self._joined = lease_s, announce, joined
        self._heartbeat: Heartbeat | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Join, and stay a member until `stop`.

        Raises:
            StoreError: the store does not take it now.
        """
        heartbeat = await self._join()
        self._keeping = asyncio.create_task(self._keep(heartbeat), name="membership")

    async def stop(self) -> None:
        """Leave, once nothing of the node runs any more. Stopping twice, or what was not started, is fine."""
        if self._keeping is None:
            return
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        self._keeping = None
        node = self._node
        node.is_member = False
        if self._heartbeat is not None:
            await asyncio.to_thread(self._heartbeat.stop)
            self._heartbeat = None
        try:
            await self._store.leave(node.identity.id)
        except RunnerError as error:
            _logger.warning("other nodes will notice by themselves that this one is gone: %s", error)
        node.identity = Identity(node.identity.id, None)  # nothing of it runs: its lease is given back

    async def _keep(self, heartbeat: Heartbeat) -> None:
        node = self._node
        while True:
            why = await asyncio.wrap_future(heartbeat.lost)
            node.is_member = False
            _logger.warning("node %s %s; it goes on under a fresh id", node.identity.id, why)
            heartbeat.stop()
            heartbeat = await self._join_in_the_end()

    async def _join_in_the_end(self) -> Heartbeat:
        pause_s = pauses(*_PAUSES_S)
        while True:
            try:
                return await self._join()
            except Exception as error:  # whatever it is, the next try may succeed
                _logger.warning("this node cannot take up work yet: %s", error)
            await asyncio.sleep(next(pause_s))

    async def _join(self) -> Heartbeat:
        store, node, capacity, lease_s = self._store, self._node, self._capacity, self._lease_s
        until_ns = boot_clock_ns() + round(lease_s * 1e9)
        if not node.identity.id:  # it never was a member: its name is not known to anybody yet
            node.take_name(await self._names_of_others())
        identity = Identity(node.fresh_id(), Lease(until_ns) if store.is_shared else None)
        info = NodeInfo(
            id=identity.id,
            name=node.name,
            lease_s=lease_s,
            capacity=capacity.slots,
            memory_bytes=capacity.memory_bytes,
            version=f"{_version()}, Python {platform.python_version()}, {platform.system()} {platform.release()}",
            sandbox=self._sandbox.walls,
        )
        if store.is_shared:
            node.remember(identity.id)
        await store.register(info)
        await self._announce()
        if node.draining:
            with contextlib.suppress(RunnerError):
                await store.drain_node(identity.id)
        self._heartbeat = Heartbeat(store, identity, lease_s)
        self._heartbeat.start()
        node.identity, node.is_member = identity, True
        self._joined()
        return self._heartbeat

    async def _names_of_others(self) -> set[str]:
        """What the nodes that live are called; what this one was before it was started again is none of them."""
        states, before = await self._store.nodes(), self._node.last_identity()
        return {state.info.name for state in states if not state.buried and state.info.id != before}


def _version() -> str:
    try:
        return version("isolane")
    except PackageNotFoundError:
        return "from source"
