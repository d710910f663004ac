"""The nodes of an embedded store: they live in the memory of the one process that has the file, and end with it.

What outlives them is in the file: the attempts that a process left open are found by the next one (`orphans`), and the
lock on the file proves that who made them is gone. So a renewal waits for no disk, and a full one stops nobody's lease.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

from runner.store.clock import machine_now
from runner.store.contract import Lease
from runner.store.records import NodeInfo, NodeState
from runner.store.refusals import no_node, node_is_dead


class Nodes:
    """The nodes that are known. Safe to use from any thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._nodes: dict[str, NodeState] = {}

    def register(self, info: NodeInfo) -> None:
        """Make a node known."""
        now = machine_now()
        with self._mutex:
            self._nodes.setdefault(
                info.id,
                NodeState(info=info, beat=1, draining=False, buried=False, running=0, started_at=now, last_seen=now),
            )

    def renew(self, node: str) -> bool:
        """Count a beat; `False` where the node is buried or unknown."""
        with self._mutex:
            known = self._nodes.get(node)
            if known is None or known.buried:
                return False
            self._nodes[node] = replace(known, beat=known.beat + 1, last_seen=machine_now())
            return True

    def states(self, running: Mapping[str, int]) -> list[NodeState]:
        """All nodes; `running` counts the live attempts of each."""
        with self._mutex:
            states = [replace(known, running=running.get(node, 0)) for node, known in self._nodes.items()]
        return sorted(states, key=lambda state: (state.info.name, state.started_at, state.info.id))

    def bury(self, node: str, beat: int) -> bool:
        """Declare a node dead if this is still its beat; whether it is dead now."""
        with self._mutex:
            known = self._nodes.get(node)
            if known is None or known.beat != beat:
                return False
            self._nodes[node] = replace(known, buried=True)
            return True

    def check_alive(self, node: str) -> None:
        """Raise `StaleClaimError` where it was declared dead."""
        known = self._nodes.get(node)
        if known is not None and known.buried:
            raise node_is_dead(node)

    def may_claim(self, node: str) -> bool:
        """Whether it is alive, and not draining."""
        known = self._nodes.get(node)
        return known is None or not (known.buried or known.draining)

    def leave(self, node: str) -> None:
        """Forget a node."""
        with self._mutex:
            self._nodes.pop(node, None)

    def drain(self, name: str, *, draining: bool) -> int:
        """Mark the nodes of this name or id."""
        with self._mutex:
            named = [
                known for known in self._nodes.values() if not known.buried and name in (known.info.name, known.info.id)
            ]
            for known in named:
                self._nodes[known.info.id] = replace(known, draining=draining)
        if not named:
            raise no_node(name)
        return len(named)

    def forget_buried(self, before: int, running: Mapping[str, int]) -> None:
        """Forget dead nodes without live attempts that were last seen before this instant."""
        with self._mutex:
            for node, known in tuple(self._nodes.items()):
                if known.buried and known.last_seen < before and not running.get(node):
                    del self._nodes[node]


class MemoryLease(Lease):
    """A lease that is a number in memory."""

    def __init__(self, nodes: Nodes, node: str) -> None:
        self._nodes = nodes
        self._node = node

    # ruff: noqa: D102 - the contract documents its methods
    async def renew(self) -> bool:
        return self._nodes.renew(self._node)

    async def close(self) -> None:
        pass
