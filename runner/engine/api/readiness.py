"""Whether a node can work, for load balancers: they turn away from one that says no."""

from __future__ import annotations

import asyncio

from runner.engine.nodes.node import Node
from runner.errors import StoreError, StoreFullError
from runner.store.contract import Store
from sandbox import Sandbox

_ANSWER_S = 2.0  # how long the store has to answer
#: How long a node is not ready after its store had no room for a run; then callers may try again.
_FULL_S = 10.0


class Readiness:
    """Of one node, from its start.

    Attributes:
        is_started: whether all of the node's services are at work.
    """

    def __init__(self, store: Store, node: Node, sandbox: Sandbox) -> None:
        self._store, self._node, self._sandbox = store, node, sandbox
        self.is_started = False
        self._full: tuple[float, StoreFullError] | None = None  # since when the store had no room for new runs

    async def check(self) -> tuple[bool, str]:
        """Whether this node can work, and what it says of itself."""
        if self._node.stopping:
            return False, "the node is draining: it takes calls, starts no attempts, and is about to end"
        if not self.is_started:
            return False, "the node is starting"
        if not self._node.is_member:
            return False, "the node lost its lease and has not been taken in again: it cannot reach the store"
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._store.token_app(b"")  # any question will do
        except (StoreError, TimeoutError) as error:
            return False, f"the store does not answer: {error or 'it takes too long'}"
        if self._full is not None and asyncio.get_running_loop().time() < self._full[0] + _FULL_S:
            return False, f"the store takes no new runs: {self._full[1]}"
        return True, f"sandbox {self._sandbox.walls}"

    def store_had_room(self) -> None:
        """The store has taken new runs."""
        self._full = None

    def store_was_full(self, error: StoreFullError) -> None:
        """The store had no room for new runs."""
        self._full = (asyncio.get_running_loop().time(), error)
