"""Tells the store how an attempt ended, until it has heard.

A full disk or a lost database delays the record, and never changes it. A stale claim is somebody else's run by now.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from collections.abc import Sequence
from typing import Protocol

from runner.backoff import pauses
from runner.catalog import Catalog
from runner.domain.lifecycle import decide
from runner.domain.retry import Retry
from runner.domain.run import Claim, Ending, NewRun, Run, TaskError, Verdict
from runner.domain.status import Reason
from runner.errors import ConflictError, LimitExceededError, StaleClaimError, StoreError
from runner.store.contract import Store
from runner.store.records import TaskKey

_PAUSES_S = (0.05, 5.0)  # first and longest pause between two tries

_logger = logging.getLogger(__name__)


class Finish(Protocol):
    """`Store.finish`, or what does more in the same commit."""

    async def __call__(self, claim: Claim, ending: Ending, verdict: Verdict, children: Sequence[NewRun], /) -> object:
        """Raises as `Store.finish`."""


class Recorder:
    """Records the ends of a node's attempts, and of claims that nobody executes."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store, self._catalog = store, catalog
        self._rng = random.Random()

    async def close(self, claim: Claim, reason: Reason, why: str) -> None:
        """End a claim whose attempt is dead or never began."""
        run = claim.run
        entry = self._catalog.entries.get(TaskKey(run.app, run.task))
        ending = Ending(reason=reason, why=why, finished_at=self._store.now())
        await self.record(claim, run, ending, own_policy=Retry() if entry is None else entry.options.retry)

    async def record(
        self,
        claim: Claim,
        run: Run,
        ending: Ending,
        *,
        own_policy: Retry,
        effects: Sequence[NewRun] = (),
        finish: Finish | None = None,
    ) -> None:
        """Record the end of an attempt and what follows for its run.

        Args:
            claim: of the attempt.
            run: what is known of it by now.
            ending: how the attempt ended.
            own_policy: the task's own, for a run that was scheduled without another.
            effects: runs that appear with its success.
            finish: what is told, instead of the store.
        """
        finish, policy, pause_s = finish or self._store.finish, run.retry or own_policy, pauses(*_PAUSES_S)
        while True:
            try:
                await finish(claim, ending, decide(run, ending, policy, self._rng), effects)
            except StaleClaimError:
                _logger.warning("attempt %d of run %s had lost its claim", claim.attempt, run.id)
            except (LimitExceededError, ConflictError) as error:
                ending, effects = _refused(ending, error), ()
                continue
            except StoreError as error:
                _logger.warning("the end of run %s is not stored yet: %s", run.id, error)
                await asyncio.sleep(next(pause_s))
                continue
            return


def _refused(ending: Ending, error: Exception) -> Ending:
    """A success whose effects cannot be stored is none: both come in one commit, or neither."""
    message = f"the runs that it scheduled with_success were refused: {error}"
    return dataclasses.replace(
        ending,
        reason=Reason.ERROR,
        why=f"the task returned, but {message}",
        result=None,
        error=TaskError(type=type(error).__name__, message=message, traceback=""),
    )
