"""The nodes of an embedded store: they live in the memory of the one process that has the file, and end with it.

What outlives them is in the file: the attempts that a process left open are found by the next one (`orphans`), and the
lock on the file proves that who made them is gone. So a renewal waits for no disk, and a full one stops nobody's lease.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from runner.store.clock import machine_now
from runner.store.contract import Lease
from runner.store.records import NodeInfo, NodeState
from runner.store.refusals import no_node, node_is_dead


@dataclass(slots=True)
class _Node:
    info: NodeInfo
    started_at: int
    last_seen: int
    beat: int = 1
    draining: bool = False
    buried: bool = False


class Nodes:
    """Who is known. Safe to use from any thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._nodes: dict[str, _Node] = {}

    def register(self, info: NodeInfo) -> None:
        """Make a node known."""
        with self._mutex:
            self._nodes.setdefault(info.id, _Node(info, started_at=machine_now(), last_seen=machine_now()))

    def renew(self, node: str) -> bool:
        """Count a beat; `False` where the node is buried or unknown."""
        with self._mutex:
            known = self._nodes.get(node)
            if known is None or known.buried:
                return False
            known.beat += 1
            known.last_seen = machine_now()
            return True

    def states(self, running: Mapping[str, int]) -> list[NodeState]:
        """All nodes; `running` counts the live attempts of each."""
        with self._mutex:
            states = [
                NodeState(
                    info=node.info,
                    beat=node.beat,
                    draining=node.draining,
                    buried=node.buried,
                    running=running.get(node.info.id, 0),
                    started_at=node.started_at,
                    last_seen=node.last_seen,
                )
                for node in self._nodes.values()
            ]
        return sorted(states, key=lambda state: (state.info.name, state.started_at, state.info.id))

    def bury(self, node: str, beat: int) -> bool:
        """Declare a node dead if this is still its beat; whether it is dead now."""
        with self._mutex:
            known = self._nodes.get(node)
            if known is None or known.beat != beat:
                return False
            known.buried = True
            return True

    def check_alive(self, node: str) -> None:
        """Raise `StaleClaimError` where it was declared dead."""
        with self._mutex:
            known = self._nodes.get(node)
        if known is not None and known.buried:
            raise node_is_dead(node)

    def may_claim(self, node: str) -> bool:
        """Whether it is alive, and not draining."""
        with self._mutex:
            known = self._nodes.get(node)
        return known is None or not (known.buried or known.draining)

    def leave(self, node: str) -> None:
        """Forget a node."""
        with self._mutex:
            self._nodes.pop(node, None)

    def drain(self, name: str, *, draining: bool) -> int:
        """Mark the nodes of this name or id."""
        with self._mutex:
            living = [node for node in self._nodes.values() if not node.buried]
            named = [node for node in living if name in (node.info.name, node.info.id)]
            for node in named:
                node.draining = draining
        if not named:
            raise no_node(name)
        return len(named)

    def forget_buried(self, before: int, running: Mapping[str, int]) -> None:
        """Forget dead nodes without live attempts that were last seen before this instant."""
        with self._mutex:
            for node in tuple(self._nodes.values()):
                if node.buried and node.last_seen < before and not running.get(node.info.id):
                    del self._nodes[node.info.id]


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
