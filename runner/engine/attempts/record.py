"""Tells the store how an attempt ended, until it has heard.

A full disk or a lost database delays the record, and never changes it. A stale claim is somebody else's run by now.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Sequence
from typing import Protocol

from runner.backoff import pauses
from runner.domain.lifecycle import decide
from runner.domain.retry import Retry
from runner.domain.run import Claim, Ending, NewRun, Run, TaskError, Verdict
from runner.domain.status import Reason
from runner.engine.parts import Parts
from runner.errors import ConflictError, LimitExceededError, StaleClaimError, StoreError

_DELAY_S = (0.05, 5.0)  # first and longest pause between two tries

_logger = logging.getLogger(__name__)


class Finish(Protocol):
    """`Store.finish`, or what does more in the same commit."""

    async def __call__(self, claim: Claim, ending: Ending, verdict: Verdict, children: Sequence[NewRun], /) -> object:
        """Raises as `Store.finish`."""


async def record(
    parts: Parts,
    claim: Claim,
    run: Run,
    ending: Ending,
    *,
    policy: Retry,
    effects: Sequence[NewRun] = (),
    finish: Finish | None = None,
) -> None:
    """Record the end of an attempt and what follows for its run; `run` is what is known of it by now."""
    finish = finish or parts.store.finish
    retries = pauses(*_DELAY_S)
    while True:
        try:
            await finish(claim, ending, decide(run, ending, policy, parts.rng), effects)
        except StaleClaimError:
            _logger.warning("attempt %d of run %s had lost its claim", claim.attempt, run.id)
        except (LimitExceededError, ConflictError) as error:
            ending, effects = _refused(ending, error), ()
            continue
        except StoreError as error:
            _logger.warning("the end of run %s is not stored yet: %s", run.id, error)
            await asyncio.sleep(next(retries))
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
