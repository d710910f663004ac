"""Shows nodes to people and programs."""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.documents import Document
from runner.errors import ConflictError, NotFoundError
from runner.store.records import NodeState
from runner.units import rfc3339


def find_node(states: Sequence[NodeState], wanted: str) -> str:
    """The name or the id that somebody means who writes this.

    Raises:
        NotFoundError: no node that lives is called so.
        ConflictError: several are.
    """
    living = [state.info for state in states if not state.buried]
    if any(wanted in (info.name, info.id) for info in living):
        return wanted
    begun = sorted(
        info.id for info in living if wanted and (info.id.startswith(wanted) or info.name.startswith(wanted))
    )
    if not begun:
        names = ", ".join(sorted({info.name for info in living}))
        raise NotFoundError(f"no node is named {wanted!a}; there are {names}")
    if len(begun) > 1:
        raise ConflictError(f"several nodes begin with {wanted!a}: {', '.join(begun)}; write more of it")
    return begun[0]


def node_document(node: NodeState, now: int) -> Document:
    """The document of one node; `now` is the store's clock, which told when the node was last seen, too."""
    return {
        "id": node.info.id,
        "name": node.info.name,
        "state": "dead" if node.buried else "draining" if node.draining else "up",
        "running": node.running,
        "slots": node.info.capacity,
        "memory_bytes": node.info.memory_bytes,
        "lease_s": node.info.lease_s,
        "version": node.info.version,
        "sandbox": node.info.sandbox,
        "started_at": rfc3339(node.started_at),
        "last_seen_at": rfc3339(node.last_seen),
        "last_seen_s_ago": max(0, now - node.last_seen) / 1e6,
    }
