"""Deletes what the config says is kept no longer: final runs, old logs, snapshots that nothing uses."""

from __future__ import annotations

import logging
from collections.abc import Callable

from runner.engine.parts import Parts
from runner.errors import StoreError

_logger = logging.getLogger(__name__)

_BATCH = 1000


async def prune(parts: Parts, codes_in_use: Callable[[], set[str]]) -> int:
    """One round; returns how many runs were deleted. In small batches, so that nobody waits for it."""
    now, kept = parts.now(), parts.settings.retention
    deleted = 0
    try:
        while True:
            batch = await parts.store.prune(
                finished_before=now - round(kept.runs_s * 1e6), logs_before=now - round(kept.logs_s * 1e6), limit=_BATCH
            )
            deleted += batch
            if batch < _BATCH:
                break
    except StoreError as error:
        _logger.warning("pruning is put off: %s", error)
    parts.catalog.forget_unused(codes_in_use())
    return deleted
