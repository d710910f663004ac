"""Deletes the final runs and the logs that the config says are kept no longer."""

from __future__ import annotations

import logging

from runner.config.sections import RetentionSection
from runner.errors import StoreError
from runner.store.contract import Store

_logger = logging.getLogger(__name__)

_BATCH = 1000


async def prune(store: Store, kept: RetentionSection, now: int) -> int:
    """One round; returns how many runs were deleted. In small batches, so that nobody waits for it."""
    deleted = 0
    try:
        while True:
            batch = await store.prune(
                finished_before=now - round(kept.runs_s * 1e6), logs_before=now - round(kept.logs_s * 1e6), limit=_BATCH
            )
            deleted += batch
            if batch < _BATCH:
                break
    except StoreError as error:
        _logger.warning("pruning is put off: %s", error)
    return deleted
