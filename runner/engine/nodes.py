"""Shows nodes to people and programs."""

from __future__ import annotations

from runner.domain.documents import Document
from runner.store.records import NodeState
from runner.units import rfc3339


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
