"""Schedules: when each fires next, and firing it exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from runner.domain.run import Run
from runner.store.records import Firing, Policy, ScheduleState
from runner.store.rows import entries_of
from runner.store.sqlite.enqueueing import insert
from runner.store.sqlite.writer import Transaction

#: No other rule stands, since whoever declared it did so earlier.
AT_ONCE = -1


def put(tx: Transaction, declared: Sequence[ScheduleState], now: int, *, silent_us: int) -> None:
    """Store what is declared; another rule stands where somebody declared it in the last `silent_us`."""
    instants = {"now": now, "since": now - silent_us, "ahead": now + silent_us}
    tx.many("put_schedule", ({**asdict(each), **instants} for each in declared))


def keep(tx: Transaction, declared: Sequence[ScheduleState], now: int, *, silent_us: int, forgotten_us: int) -> None:
    """Tell again what is declared, and delete what was declared by nobody for so long."""
    last = tx.value("last_declared", {"now": now})
    put(tx, declared, now, silent_us=silent_us)
    tx.execute("forget_undeclared", {"last": last, "forgotten": forgotten_us, "now": now})


def fire(tx: Transaction, firing: Firing, policy: Policy) -> Run | None:
    """Move the schedule on from `due_at` and store its run, or do nothing where somebody did already."""
    moved = tx.row(
        "fire_schedule",
        {
            "app": firing.app,
            "name": firing.name,
            "due_at": firing.due_at,
            "next_at": firing.next_at,
            "run": firing.run.id if firing.run else None,
        },
    )
    if moved is None or firing.run is None:
        return None
    return insert(tx, entries_of([firing.run]), policy)[0]
