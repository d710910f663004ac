"""Ends claims that have no process: what dead nodes left behind, and what could not be executed here."""

from __future__ import annotations

import logging

from runner.domain.retry import Retry
from runner.domain.run import Claim, Ending
from runner.domain.status import Reason
from runner.engine.attempts.record import record
from runner.engine.parts import Parts
from runner.store.records import TaskKey

_logger = logging.getLogger(__name__)


async def recover(parts: Parts) -> int:
    """Give back what no living node holds; returns how many runs.

    On an embedded store that is all: there is no other node, and the lock file has proven that the attempts of an
    earlier one are dead (`Sandbox.start`). On a shared store a node that was buried, or is not there, has no attempt
    that lives; and the lock file has proven the same of the one that this runner was before it was started again, so
    that its lease need not be waited out.
    """
    before = parts.node.last_identity() if parts.store.is_shared else None
    # In this order: a node that registers meanwhile has no claim in `orphans`.
    orphans = await parts.store.orphans()
    for node in await parts.store.nodes():
        if node.info.id == before and await parts.store.bury(before, node.beat) is not None:
            continue
        if not node.buried:
            held = {claim.token for claim in await parts.store.orphans(node.info.id)}
            orphans = [claim for claim in orphans if claim.token not in held]
    for claim in orphans:
        await close(parts, claim, Reason.LOST, "its runner died while it ran, and it with it")
    if orphans:
        lost = (
            "1 run was lost with an earlier runner, and runs"
            if len(orphans) == 1
            else (f"{len(orphans)} runs were lost with an earlier runner, and run")
        )
        _logger.warning("%s again", lost)
    return len(orphans)


async def close(parts: Parts, claim: Claim, reason: Reason, why: str) -> None:
    """End a claim whose attempt is dead or never began."""
    run = claim.run
    entry = parts.catalog.entries.get(TaskKey(run.app, run.task))
    policy = run.retry or (entry.options.retry if entry is not None else Retry())
    await record(parts, claim, run, Ending(reason=reason, why=why, finished_at=parts.now()), policy=policy)
