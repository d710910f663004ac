"""What follows an ended attempt. Pure: the same facts always give the same verdict."""

from __future__ import annotations

import random

from runner.domain.retry import Retry
from runner.domain.run import Ending, Run, Verdict
from runner.domain.status import Reason, Status
from runner.errors import InvariantError


def decide(run: Run, ending: Ending, policy: Retry, rng: random.Random) -> Verdict:
    """The status a run gets when an attempt of it ended as `ending`, and when its next attempt is due."""
    failures, losses = run.failures, run.losses
    match ending.reason:
        case Reason.SUCCESS:
            return Verdict(status=Status.SUCCEEDED, failures=failures, losses=losses)
        case Reason.CANCELLED:
            return Verdict(status=Status.CANCELLED, failures=failures, losses=losses)
        case Reason.DRAINED:
            status = Status.CANCELLED if run.cancel_requested_at is not None else Status.QUEUED
            due_at = None if status is Status.CANCELLED else ending.finished_at
            return Verdict(status=status, failures=failures, losses=losses, due_at=due_at)
        case Reason.LOST:
            losses += 1
            again = losses <= policy.lost
            # The first loss is made good at once; a host that goes on losing it is given time.
            delay_s = policy.delay_s(losses - 1, rng) if losses > 1 else 0.0
        case Reason.SUSPENDED:
            raise InvariantError("no attempt can be suspended yet")
        case _:
            failures += 1
            budget_left = policy.attempts is None or failures < policy.attempts
            again = budget_left and ending.reason in policy.on
            delay_s = policy.delay_s(failures, rng)
    if run.cancel_requested_at is not None:
        # Cancelled while it ran: whatever its last attempt came to, there is no next one.
        return Verdict(status=Status.CANCELLED if again else Status.FAILED, failures=failures, losses=losses)
    if not again:
        return Verdict(status=Status.FAILED, failures=failures, losses=losses)
    due_at = ending.finished_at + round(delay_s * 1_000_000)
    return Verdict(status=Status.RETRYING, failures=failures, losses=losses, due_at=due_at)
