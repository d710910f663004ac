"""Storing new runs: all of a call or none."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from functools import partial

from runner.domain.run import NewRun, Run
from runner.store.records import Policy
from runner.store.refusals import id_is_taken, key_is_taken, too_many_children
from runner.store.rows import Entry, run_of
from runner.store.sqlite.queues import ensure, refresh
from runner.store.sqlite.writer import Transaction
from runner.store.waiting_limits import check_waiting, where


def insert(tx: Transaction, entries: Sequence[Entry], policy: Policy) -> list[Run]:
    """Store the runs that are not stored yet, and return them all, in order."""
    tx.execute("advance_clock")
    runs: list[Run] = []
    parameters: list[tuple[int, str]] = []
    lanes: dict[tuple[str, str, str, str], None] = {}
    children: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        new, values = entry.new, entry.values
        earlier = _same_key(tx, entry)
        row = None if earlier else tx.row("insert_run", values)
        if row is None:
            runs.append(run_of(earlier or _same_id(tx, new)))
            continue
        parameters.append((row["seq"], new.parameters))
        runs.append(new.stored())
        lanes[new.app, values["queue"], "" if new.queue else new.task, values["scheduled_by"]] = None
        if new.parent is not None:
            children[new.app, new.parent] += 1
        # A run that is not due yet, or that may expire, moves the instant at which to look again.
        tx.ready |= not values["ready"] or new.queue is None or new.expires_at is not None
    tx.many("insert_parameters", parameters)
    for app, queue in dict.fromkeys((app, queue) for app, queue, _, _ in lanes if queue):
        ensure(tx, policy, app, queue)
        refresh(tx, app, queue)
    _check_limits(tx, policy, lanes, children)
    return runs


def _same_key(tx: Transaction, entry: Entry) -> sqlite3.Row | None:
    values = entry.values
    if entry.new.idempotency_key is None:
        return None
    row = tx.row("run_by_idempotency_key", values)
    if row is not None and row["parameters_digest"] != values["parameters_digest"]:
        raise key_is_taken(entry.new, row["id"])
    return row


def _same_id(tx: Transaction, new: NewRun) -> sqlite3.Row:
    (row,) = tx.rows("run_by_id", (new.app, new.id))
    if (row["task"], row["parent"]) != (new.task, new.parent):
        raise id_is_taken(new.id)
    return row


def _check_limits(
    tx: Transaction,
    policy: Policy,
    lanes: dict[tuple[str, str, str, str], None],
    children: Counter[tuple[str, str]],
) -> None:
    """`lanes` are app, queue, task and who scheduled; the task is '' in a queue, the last '' outside."""
    limits = policy.limits
    for app, queue, task, by in lanes:
        waiting = tx.value("waiting_in_queue" if queue else "waiting_in_lane", (app, queue or task))
        more_by = "more_by_in_queue" if queue else "more_by_in_lane"
        has_more = partial(_has_more, tx, more_by, (app, by, queue or task))
        check_waiting(by, where(app, queue, task), waiting, limits.waiting_per_queue, has_more)
    for app, by in dict.fromkeys((app, by) for app, _, _, by in lanes):
        has_more = partial(_has_more, tx, "more_by_in_app", (app, by))
        waiting = tx.value("waiting_in_app", (app,))
        check_waiting(by, where(app, None, None), waiting, limits.waiting_per_app, has_more)
    for (app, parent), more in children.items():
        total = tx.value("count_children", {"app": app, "parent": parent, "more": more})
        if total is not None and total > limits.children_per_run:
            raise too_many_children(limits.children_per_run, parent)


def _has_more(tx: Transaction, name: str, place: tuple[str, ...], than: int) -> bool:
    return tx.row(name, (*place, than)) is not None
