"""What every store refuses, in the words in which it says so."""

from __future__ import annotations

from runner.domain.run import Claim, NewRun
from runner.errors import ConflictError, LimitExceededError, NotFoundError, StaleClaimError, StoreUnavailableError


def no_run(app: str, run: str) -> NotFoundError:
    """No such run in this app."""
    return NotFoundError(f"no run {run if run.isprintable() else ascii(run)} in app {app!a}")


def no_node(name: str) -> NotFoundError:
    """No node that lives has this id or name."""
    return NotFoundError(f"no node is named {name!a}")


def node_is_dead(node: str) -> StaleClaimError:
    """It may not claim."""
    return StaleClaimError(f"node {node} was declared dead or never registered: it may come under a fresh id")


def node_is_busy(node: str, running: int) -> ConflictError:
    """It may not leave."""
    return ConflictError(f"node {node} has {running} attempts that have not ended: end them first")


def ended_already(claim: Claim) -> StaleClaimError:
    """The claim holds nothing any more."""
    return StaleClaimError(f"attempt {claim.attempt} of run {claim.run.id} has ended already; nothing was changed")


def is_running(run: str) -> ConflictError:
    """It may not be deleted."""
    return ConflictError(f"run {run} is running: cancel it, and delete it when it has ended")


def queue_is_held(queue: str, run: str) -> ConflictError:
    """Its slots may not be given free."""
    return ConflictError(f"queue {queue!r} is held by run {run}, which is running: cancel the run, or wait for its end")


def id_is_taken(run: str) -> ConflictError:
    """The id is that of a run of another task, or that somebody else scheduled."""
    return ConflictError(f"id {run} is taken by another run: make a new one for each run (a UUIDv7)")


def key_is_taken(new: NewRun, by: str) -> ConflictError:
    """The idempotency key is that of a run that is asked to do something else."""
    return ConflictError(
        f"idempotency key {new.idempotency_key!r} of task {new.task!r} was used by run {by} with other parameters: use "
        "another key, or the same parameters"
    )


def too_many_wait(limit: int, whose: str) -> LimitExceededError:
    """`whose` says where they wait, such as "in queue 'mail'"."""
    return LimitExceededError(f"more than {limit} runs {whose} would wait ([limits] of the config)")


def too_many_children(limit: int, parent: str) -> LimitExceededError:
    """Of one run."""
    return LimitExceededError(f"run {parent} would schedule more than {limit} runs ([limits] of the config)")


def rest_is_for_outside(by: str, limit: int, whose: str) -> LimitExceededError:
    """Tasks have filled what they may of a limit."""
    return LimitExceededError(
        f"task {by!r} cannot schedule more: {limit - limit // 4} runs {whose} wait, and the rest of the limit of "
        f"{limit} is kept for runs from outside ([limits] of the config)"
    )


def share_is_full(by: str, limit: int, whose: str) -> LimitExceededError:
    """One task has filled what it may of a limit."""
    return LimitExceededError(
        f"task {by!r} cannot schedule more: {max(limit // 2, 1)} runs {whose} wait that it scheduled, and one task may "
        f"have half of the limit of {limit} ([limits] of the config)"
    )


def copy_is_unfinished(source: str) -> StoreUnavailableError:
    """No node works in a store that is half a copy."""
    return StoreUnavailableError(f"the store is the unfinished copy of {source}: make the copy again, to its end")
