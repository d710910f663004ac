"""Storing new runs: all of a call or none."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from runner.domain.run import NewRun, Run
from runner.errors import ConflictError, LimitExceededError
from runner.store.policy import Policy
from runner.store.rows import run_of, values_of
from runner.store.sqlite.queues import ensure, refresh
from runner.store.sqlite.statements import SQL
from runner.store.sqlite.writer import Transaction
from runner.store.storable_text import check_new
from runner.store.waiting_limits import check_share, taken


@dataclass(frozen=True, slots=True)
class Entry:
    """A new run and the values of its row, made before the writer's thread is asked for its time."""

    new: NewRun
    values: dict[str, Any]


def prepared(runs: Sequence[NewRun]) -> list[Entry]:
    """The rows of new runs."""
    for new in runs:
        check_new(new)
    return [Entry(new, values_of(new)) for new in runs]


def insert(tx: Transaction, entries: Sequence[Entry], policy: Policy) -> list[Run]:
    """Store the runs that are not stored yet, and return them all, in order."""
    tx.execute(SQL["advance_clock"])
    runs: list[Run] = []
    parameters: list[tuple[int, str]] = []
    lanes: dict[tuple[str, str, str, str], None] = {}
    children: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        new, values = entry.new, entry.values
        earlier = _same_key(tx, values)
        row = None if earlier else tx.row(SQL["insert_run"], values)
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
    tx.connection.executemany(SQL["insert_parameters"], parameters)
    for app, queue in dict.fromkeys((app, queue) for app, queue, _, _ in lanes if queue):
        ensure(tx, policy, app, queue)
        refresh(tx, app, queue)
    _check_limits(tx, policy, lanes, children)
    return runs


def _same_key(tx: Transaction, values: dict[str, Any]) -> sqlite3.Row | None:
    if values["idempotency_key"] is None:
        return None
    row = tx.row(SQL["run_by_idempotency_key"], values)
    if row is not None and row["parameters_digest"] != values["parameters_digest"]:
        raise ConflictError(
            f"idempotency key {values['idempotency_key']!r} of task {values['task']!r} was used by run {row['id']} "
            "with other parameters: use another key, or the same parameters"
        )
    return row


def _same_id(tx: Transaction, new: NewRun) -> sqlite3.Row:
    (row,) = tx.rows(SQL["run_by_id"], (new.app, new.id))
    if (row["task"], row["parent"]) != (new.task, new.parent):
        raise taken(new.id)
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
        if queue:
            waiting, whose = tx.value(SQL["waiting_in_queue"], (app, queue)), f"in queue {queue!r}"
        else:
            waiting, whose = tx.value(SQL["waiting_in_lane"], (app, task)), f"of task {task!r} without a queue"
        if waiting > limits.waiting_per_queue:
            raise LimitExceededError(
                f"more than {limits.waiting_per_queue} runs {whose} would wait ([limits] of the config)"
            )
        if by:
            statement = SQL["more_by_in_queue"] if queue else SQL["more_by_in_lane"]
            has_more = partial(_has_more, tx, statement, (app, by, queue or task))
            check_share(by, whose, waiting, limits.waiting_per_queue, has_more)
    for app, by in dict.fromkeys((app, by) for app, _, _, by in lanes):
        waiting, whose = tx.value(SQL["waiting_in_app"], (app,)), f"of app {app!r}"
        if waiting > limits.waiting_per_app:
            raise LimitExceededError(
                f"more than {limits.waiting_per_app} runs {whose} would wait ([limits] of the config)"
            )
        if by:
            has_more = partial(_has_more, tx, SQL["more_by_in_app"], (app, by))
            check_share(by, whose, waiting, limits.waiting_per_app, has_more)
    for (app, parent), more in children.items():
        total = tx.value(SQL["count_children"], {"app": app, "parent": parent, "more": more})
        if total is not None and total > limits.children_per_run:
            raise LimitExceededError(
                f"run {parent} would schedule more than {limits.children_per_run} runs ([limits] of the config)"
            )


def _has_more(tx: Transaction, statement: str, where: tuple[str, ...], than: int) -> bool:
    return tx.row(statement, (*where, than)) is not None
