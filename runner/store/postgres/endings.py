"""How runs end: by their attempts, by cancelling, and by being deleted once they are final."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from runner.domain.run import Claim, Ending, Run, Verdict
from runner.domain.status import Status
from runner.store.postgres.claiming import Asking, found_again
from runner.store.postgres.database import Transaction
from runner.store.postgres.enqueueing import insert, lock_queues
from runner.store.records import Policy
from runner.store.refusals import ended_already, is_running, no_run
from runner.store.rows import Entry, ending_values, run_of
from runner.store.storable_text import sentence


async def finish(
    tx: Transaction,
    claim: Claim,
    ending: Ending,
    verdict: Verdict,
    *,
    children: Sequence[Entry],
    policy: Policy,
) -> Run:
    """End the attempt of `claim`, and its run as `verdict` says."""
    if children:
        queues = {(entry.new.app, entry.new.queue) for entry in children if entry.new.queue}
        if claim.run.queue:
            queues.add((claim.run.app, claim.run.queue))
        await lock_queues(tx, sorted(queues), policy)
    row = await tx.row("finish", *_arguments(claim, ending, verdict))
    if row is None:
        row = await _finished_before(tx, claim, ending)
    elif children:
        await insert(tx, children, policy)
    return _tell_finished(tx, run_of(row))


async def finish_and_claim(
    tx: Transaction, claim: Claim, ending: Ending, verdict: Verdict, asking: Asking
) -> tuple[Run, Mapping[str, Any]]:
    """`finish` without children, and a claim in the same commit; the run, and the answer to `asking`."""
    row = await tx.row("finish_and_claim", *_arguments(claim, ending, verdict), *asking.arguments())
    if row is not None:
        return _tell_finished(tx, run_of(row)), row
    ended = await _finished_before(tx, claim, ending)
    started = await tx.value("started", asking.tokens)
    return _tell_finished(tx, run_of(ended)), found_again(started)


def _arguments(claim: Claim, ending: Ending, verdict: Verdict) -> tuple[object, ...]:
    """Of the function `finish`."""
    what_follows = (verdict.status.value, verdict.failures, verdict.losses, verdict.due_at)
    return *_key(claim), *what_follows, ending.result, *ending_values(ending).values()


def _key(claim: Claim) -> tuple[object, ...]:
    return claim.run.app, claim.run.id, claim.attempt, claim.token


async def _finished_before(tx: Transaction, claim: Claim, ending: Ending) -> asyncpg.Record:
    """The run, if this very call was done before and its answer was lost; perhaps also what it had to tell."""
    row = await tx.row("finished_so", *_key(claim), ending.finished_at, ending.reason.value, sentence(ending.why))
    if row is None:
        raise ended_already(claim)
    return row


def _tell_finished(tx: Transaction, run: Run) -> Run:
    if run.status.is_final:
        tx.ended.append(run)
        tx.ready |= run.queue is not None
    else:
        tx.ready = True
    return run


async def progress(tx: Transaction, claim: Claim, text: str) -> None:
    """Keep the progress of a live attempt."""
    await tx.rows("put_progress", claim.run.app, claim.run.id, claim.attempt, claim.token, text)


async def cancel(tx: Transaction, app: str, run: str, now: int) -> Run:
    """Cancel a run, or ask its attempt to end."""
    row = await tx.row("cancel", app, run, now, "it was cancelled while it was ", False)
    if row is None:
        raise no_run(app, run)
    cancelled = run_of(row)
    if cancelled.cancel_requested_at == now:
        _tell_cancelled(tx, cancelled)
    return cancelled


async def purge(tx: Transaction, app: str, queue: str, *, now: int, newest: int, limit: int) -> int:
    """Cancel up to `limit` waiting runs of the queue that are not younger than `newest`; returns how many."""
    cancelled = await tx.rows("purge", app, queue, now, newest, limit)
    tx.ended += map(run_of, cancelled)
    tx.ready |= bool(cancelled)
    return len(cancelled)


async def delete(tx: Transaction, app: str, run: str, now: int) -> None:
    """Delete a run with all that belongs to it; one that waits is cancelled first."""
    row = await tx.row("cancel", app, run, now, "it was deleted while it was ", True)
    if row is None:
        if tx.repeated:
            return
        raise no_run(app, run)
    if row["status"] == Status.RUNNING:
        raise is_running(run)
    deleted = run_of(row)
    if deleted.cancel_requested_at == now:
        _tell_cancelled(tx, deleted)
    await tx.rows("delete_run", row["seq"])


async def prune(tx: Transaction, finished_before: int, limit: int) -> list[tuple[str, str]]:
    """Delete up to `limit` runs that ended before; returns their apps and ids."""
    return [(row["app"], row["id"]) for row in await tx.rows("prune_runs", finished_before, limit)]


def _tell_cancelled(tx: Transaction, run: Run) -> None:
    if run.status.is_final:
        tx.ended.append(run)
        tx.ready |= run.queue is not None
    else:
        tx.cancelling.append(run)
