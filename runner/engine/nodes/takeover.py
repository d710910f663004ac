"""Watches the other nodes, and takes over what a dead one held.

A node is dead when its beat has stood still for the whole of its lease and a margin, as this node has seen it itself,
on a clock that goes on while the machine sleeps and that nobody sets. By then its attempts were ended by their
supervisors. No two clocks are compared; a node that was itself asleep or cut off meanwhile sees a newer beat when it
looks again, and the store takes a burial only for the beat that stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from runner.domain.run import Claim
from runner.domain.status import Reason
from runner.engine.nodes.node import Node
from runner.engine.nodes.recovery import Close
from runner.store.contract import Store
from runner.store.records import NodeState
from sandbox.protocol.lease import boot_clock_ns

_EVERY = 1 / 3  # of the own lease, between two looks
#: What a supervisor gets to end its attempt after the lease is over: a share of the lease, and never less than this.
_MARGIN, _LEAST_MARGIN_S = 0.25, 0.5
_REMEMBERED_US = 86_400_000_000  # how long dead nodes are listed

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    beat: int
    since_ns: int  # when this node saw it first


class Takeover:
    """The watch of one node."""

    def __init__(self, store: Store, node: Node, lease_s: float, close: Close, wake: Callable[[], None]) -> None:
        """`lease_s` is that of this node; `wake` is called when it may start attempts again."""
        self._store, self._node, self._lease_s, self._close, self._wake = store, node, lease_s, close, wake
        self._is_to_drain = False  # as last seen
        self._seen: dict[str, _Seen] = {}
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._watching = asyncio.create_task(self._watch(), name="takeover")

    async def stop(self) -> None:
        """Watch no more. Stopping what was not started, or twice, is fine."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as error:  # whatever it is, the next look may succeed
                _logger.warning("cannot look after the other nodes: %s", error)
            await asyncio.sleep(self._lease_s * _EVERY)

    async def look(self) -> None:
        """One look at all nodes."""
        states = await self._store.nodes()
        seen_ns = boot_clock_ns()  # not before the beat was there
        own = self._node.identity.id
        self._seen = {state.info.id: self._first_seen(state, seen_ns) for state in states if not state.buried}
        for state in states:
            if state.info.id == own:
                self._heed(state)
            elif state.buried:
                if state.running:
                    await self._bury(state)  # whoever began to has not finished
                elif self._store.now() - state.last_seen > _REMEMBERED_US:
                    await self._store.leave(state.info.id)
            elif seen_ns - self._seen[state.info.id].since_ns >= _silence_ns(state):
                await self._bury(state)

    def _heed(self, state: NodeState) -> None:
        """Drain, or go on, as somebody asked through another node since the last look."""
        if state.draining != self._is_to_drain:
            self._is_to_drain = state.draining
            self._node.ask_to_drain(draining=state.draining)
            self._wake()

    def _first_seen(self, state: NodeState, now_ns: int) -> _Seen:
        seen = self._seen.get(state.info.id)
        return seen if seen is not None and seen.beat == state.beat else _Seen(state.beat, now_ns)

    async def _bury(self, state: NodeState) -> None:
        """Declare a node dead and end its claims, unless it beats again."""
        claims = await self._store.bury(state.info.id, state.beat)
        if claims is None:
            return
        _logger.warning("node %s is dead; what it ran, %d runs, is lost and runs again", state.info.id, len(claims))
        await asyncio.gather(*(self._end(claim, state) for claim in claims))

    async def _end(self, claim: Claim, state: NodeState) -> None:
        await self._close(claim, Reason.LOST, f"its node {state.info.id} died or was cut off while it ran")


def _silence_ns(state: NodeState) -> int:
    """How long a node's beat stands still before it is dead."""
    lease_s = state.info.lease_s
    return round((lease_s + max(lease_s * _MARGIN, _LEAST_MARGIN_S)) * 1e9)
