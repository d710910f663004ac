"""Lanes: what may be claimed, known before anybody asks.

A lane is the waiting runs of one task in one queue. Triggers count them as runs come and go; what counters cannot know
is kept here, in one place: at most one lane of a queue is `open`, the one that holds the run that goes next, and none
is while the queue is held, paused or shut by its rate. `refresh` decides it anew, from this queue's rows alone, and is
called by every operation that touched the queue. A claim then only looks at lanes that are open, ready and loadable,
through an index that holds no others.

Lanes without a queue (queue '') are always open. Rows of queues and lanes exist only while something waits, runs, is
paused or is shut: a queue that is done leaves nothing behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from runner.domain.run import QueueState
from runner.domain.status import Status
from runner.store.records import Policy, TaskKey
from runner.store.refusals import queue_is_held
from runner.store.rows import has_rule, queue_of
from runner.store.sqlite.statements import Statements
from runner.store.sqlite.writer import Transaction


def refresh(tx: Transaction, app: str, queue: str) -> str | None:
    """Open the lane of the queue's next run and shut its others; returns the task of the open lane."""
    gate = tx.row("queue_gate", (app, queue)) if queue else None
    if gate is None:
        return None
    task: str | None = None
    if gate["admits"] and gate["held"] < gate["concurrency"]:
        task = tx.value("queue_head", {"app": app, "queue": queue, "strict": gate["strict"]})
    elif gate["admits"] and gate["strict"]:
        holder = tx.row("ready_holder", (app, queue))
        task = holder["task"] if holder else None
    tx.execute("open_lane", {"app": app, "queue": queue, "task": task})
    if task is not None:
        tx.ready = True
    elif not gate["held"]:
        tx.execute("delete_idle_queue", {"app": app, "name": queue})
    return task


def refresh_all(tx: Transaction, queues: Iterable[tuple[str, str]]) -> None:
    """`refresh` each of these pairs of app and queue once."""
    for app, queue in dict.fromkeys(queues):
        refresh(tx, app, queue)


def ensure(tx: Transaction, policy: Policy, app: str, queue: str) -> None:
    """Give the queue its row, with the rule of the config."""
    if not tx.value("has_queue", (app, queue)):
        tx.execute("insert_queue", {"app": app, "name": queue, **policy.queue_rule(app, queue).columns()})


def apply_rules(tx: Transaction, policy: Policy) -> None:
    """Take over what the config says now about the queues that are stored."""
    for row in tx.rows("all_queues"):
        app, name = row["app"], row["name"]
        rule = policy.queue_rule(app, name)
        if has_rule(row, rule):
            continue
        tx.execute("update_queue_rule", {"app": app, "name": name, **rule.columns()})
        if not rule.is_strict:
            tx.execute("release_retrying", (app, name))
        refresh(tx, app, name)


def announce(tx: Transaction, wanted: frozenset[TaskKey], limit: int) -> bool:
    """Mark the lanes of these tasks loadable, and no others, at most `limit` lanes; returns whether all is done."""
    stored = {TaskKey(*row) for row in tx.rows("announced_tasks")}
    for task, loadable in [(task, 1) for task in wanted - stored] + [(task, 0) for task in stored - wanted]:
        if limit <= 0:
            return False
        marked = tx.rows("mark_loadable", {"app": task.app, "task": task.task, "loadable": loadable, "limit": limit})
        tx.ready |= bool(marked)
        refresh_all(tx, ((task.app, row["queue"]) for row in marked))
        limit -= len(marked)
        if limit > 0:
            # Last, so that a task that was interrupted half-way is found again.
            tx.execute("announce_task" if loadable else "withdraw_task", task)
    return limit > 0


def pause(tx: Transaction, policy: Policy, app: str, queue: str, now: int) -> QueueState:
    """Start no more runs of the queue."""
    ensure(tx, policy, app, queue)
    tx.execute("pause_queue", {"app": app, "name": queue, "now": now})
    refresh(tx, app, queue)
    return state(tx, policy, app, queue)


def resume(tx: Transaction, policy: Policy, app: str, queue: str) -> QueueState:
    """Take back a pause."""
    tx.execute("resume_queue", (app, queue))
    refresh(tx, app, queue)
    return state(tx, policy, app, queue)


def release(tx: Transaction, app: str, queue: str) -> int:
    """Free the slots that retrying runs hold; returns how many."""
    for holder in tx.rows("holders_of_queue", (app, queue)):
        if holder["status"] == Status.RUNNING:
            raise queue_is_held(queue, holder["id"])
    released = tx.execute("release_retrying", (app, queue))
    refresh(tx, app, queue)
    return released


def state(tx: Statements, policy: Policy, app: str, queue: str) -> QueueState:
    """A queue as it stands; one without a row is empty."""
    row = tx.row("queue_by_name", (app, queue))
    if row is not None:
        return state_of(tx, policy, row)
    return policy.empty_queue(app, queue)


def state_of(tx: Statements, policy: Policy, row: sqlite3.Row) -> QueueState:
    """The queue of this row, with what waits in it and who holds it."""
    key = (row["app"], row["name"])
    ((waiting, scheduled),) = tx.rows("waiting_and_scheduled", key)
    return queue_of(
        row, policy.queue_rule(*key), waiting=waiting, scheduled=scheduled, holders=tx.rows("holders_of_queue", key)
    )
