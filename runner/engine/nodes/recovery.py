"""Gives back, when a node starts, what dead nodes left behind."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from runner.domain.run import Claim
from runner.domain.status import Reason
from runner.engine.nodes.node import Node
from runner.store.contract import Store

#: Ends a claim whose attempt is dead or never began, for a reason and with a sentence.
Close: TypeAlias = Callable[[Claim, Reason, str], Awaitable[None]]

_logger = logging.getLogger(__name__)


async def recover(store: Store, node: Node, close: Close) -> None:
    """Give back what no living node holds.

    On an embedded store that is all: there is no other node, and the lock file has proven that the attempts of an
    earlier one are dead (`Sandbox.start`). On a shared store a node that was buried, or is not there, has no attempt
    that lives; and the lock file has proven the same of the one that this runner was before it was started again, so
    that its lease need not be waited out.
    """
    before = node.last_identity() if store.is_shared else None
    # In this order: a node that registers meanwhile has no claim in `orphans`.
    orphans = await store.orphans()
    for state in await store.nodes():
        if state.info.id == before and await store.bury(before, state.beat) is not None:
            continue
        if not state.buried:
            held = {claim.token for claim in await store.orphans(state.info.id)}
            orphans = [claim for claim in orphans if claim.token not in held]
    for claim in orphans:
        await close(claim, Reason.LOST, "its runner died while it ran, and it with it")
    if orphans:
        _logger.warning("what an earlier runner ran is lost and runs again: %d in all", len(orphans))
