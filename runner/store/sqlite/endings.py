"""How runs end: by their attempts, by cancelling, and by being deleted once they are final."""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Sequence

from runner.domain.run import Claim, Ending, Run, Verdict
from runner.domain.status import PENDING, Status
from runner.store.records import Policy
from runner.store.refusals import ended_already, is_running, no_run
from runner.store.rows import ERRORS_KEPT, Entry, ending_values, run_of
from runner.store.sqlite.enqueueing import insert
from runner.store.sqlite.queues import refresh
from runner.store.sqlite.writer import Transaction


def finish(
    tx: Transaction,
    claim: Claim,
    ending: Ending,
    verdict: Verdict,
    *,
    children: Sequence[Entry],
    policy: Policy,
) -> Run:
    """End the attempt of `claim`, and its run as `verdict` says."""
    held, values = _held(tx, claim), ending_values(ending)
    if held is None:
        done = tx.row("finished_so", {"app": claim.run.app, "id": claim.run.id, "number": claim.attempt, **values})
        if done is not None and hmac.compare_digest(done["token"], claim.token):
            return run_of(done)
        raise ended_already(claim)
    seq, status = held["seq"], verdict.status
    if held["cancel_requested_at"] is not None and status in PENDING:
        status = Status.CANCELLED  # asked for while the verdict was on its way
    error = values["error"]
    tx.execute("end_attempt", {**values, "fence": held["fence"]})
    if error is not None and claim.attempt > ERRORS_KEPT:
        tx.execute("forget_error", (seq, claim.attempt - ERRORS_KEPT))
    if ending.result is not None or ending.error is not None:
        tx.execute("put_response", (seq, ending.result, error))
    else:
        tx.execute("clear_response", (seq,))
    (row,) = tx.rows(
        "leave_running",
        {
            "run": seq,
            "status": status.value,
            "ready": _ready(status, verdict.due_at, ending.finished_at),
            "reason": values["reason"],
            "why": values["why"],
            "failures": verdict.failures,
            "losses": verdict.losses,
            "due_at": None if status.is_final else verdict.due_at,
            "finished_at": ending.finished_at if status.is_final else None,
        },
    )
    run = run_of(row)
    tx.execute("free_slot", {"run": seq, "status": status.value})
    if children:
        insert(tx, children, policy)
    refresh(tx, held["app"], held["queue"])
    if status.is_final:
        tx.ended.append(run)
    else:
        tx.ready = True
    return run


def progress(tx: Transaction, claim: Claim, text: str) -> None:
    """Keep the progress of a live attempt."""
    held = _held(tx, claim)
    if held is not None:
        tx.execute("put_progress", (held["seq"], text))


def cancel(tx: Transaction, app: str, run: str, now: int) -> Run:
    """Cancel a run, or ask its attempt to end."""
    row = find(tx, app, run)
    status = Status(row["status"])
    if status in PENDING:
        return _cancel_waiting(tx, row["seq"], now, f"it was cancelled while it was {status}")
    if status is Status.RUNNING and row["cancel_requested_at"] is None:
        (row,) = tx.rows("request_cancel", (now, row["seq"]))
        tx.cancelling.append(run_of(row))
    return run_of(row)


def purge(tx: Transaction, app: str, queue: str, *, now: int, newest: int, limit: int) -> int:
    """Cancel up to `limit` waiting runs of the queue that are not younger than `newest`; returns how many."""
    cancelled = tx.rows("purge_queue", {"app": app, "queue": queue, "now": now, "newest": newest, "limit": limit})
    if cancelled:
        tx.ended += map(run_of, cancelled)
        tx.execute("free_slots_of_ended", (app, queue))
        refresh(tx, app, queue)
    return len(cancelled)


def delete(tx: Transaction, app: str, run: str, now: int) -> None:
    """Delete a run with all that belongs to it; one that waits is cancelled first."""
    row = find(tx, app, run)
    if row["status"] == Status.RUNNING:
        raise is_running(run)
    if row["finished_at"] is None:
        _cancel_waiting(tx, row["seq"], now, "it was deleted while it waited")
    tx.execute("delete_run", (row["seq"],))


def prune(tx: Transaction, finished_before: int, limit: int) -> list[tuple[str, str]]:
    """Delete up to `limit` runs that ended before; returns their apps and ids."""
    return [(row["app"], row["id"]) for row in tx.rows("prune_runs", (finished_before, limit))]


def find(tx: Transaction, app: str, run: str) -> sqlite3.Row:
    """The row of a run.

    Raises:
        NotFoundError: no such run in this app.
    """
    row = tx.row("run_by_id", (app, run))
    if row is None:
        raise no_run(app, run)
    return row


def _held(tx: Transaction, claim: Claim) -> sqlite3.Row | None:
    row = tx.row("open_attempt", (claim.run.app, claim.run.id, claim.attempt))
    return row if row is not None and hmac.compare_digest(row["token"], claim.token) else None


def _ready(status: Status, due_at: int | None, now: int) -> int | None:
    if status not in PENDING:
        return None
    return int(status is Status.QUEUED or due_at is None or due_at <= now)


def _cancel_waiting(tx: Transaction, seq: int, now: int, why: str) -> Run:
    (row,) = tx.rows("cancel_waiting", {"run": seq, "now": now, "why": why})
    run = run_of(row)
    tx.execute("free_slot", {"run": seq, "status": run.status.value})
    refresh(tx, run.app, run.queue or "")
    tx.ended.append(run)
    return run
