"""Schedules: when each fires next, and firing it exactly once."""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.run import Run
from runner.store.policy import Policy
from runner.store.records import Firing, ScheduleState
from runner.store.sqlite.enqueueing import insert, prepared
from runner.store.sqlite.statements import SQL
from runner.store.sqlite.writer import Transaction


def put(tx: Transaction, wanted: Sequence[ScheduleState]) -> None:
    """Make the stored schedules these."""
    names = {(schedule.app, schedule.name) for schedule in wanted}
    for row in tx.rows(SQL["all_schedules"], {"app": None}):
        if (row["app"], row["name"]) not in names:
            tx.execute(SQL["delete_schedule"], (row["app"], row["name"]))
    for schedule in wanted:
        tx.execute(
            SQL["put_schedule"],
            {
                "app": schedule.app,
                "name": schedule.name,
                "task": schedule.task,
                "rule": schedule.rule,
                "next_at": schedule.next_at,
            },
        )


def fire(tx: Transaction, firing: Firing, policy: Policy) -> Run | None:
    """Move the schedule on from `due_at` and store its run, or do nothing where somebody did already."""
    moved = tx.row(
        SQL["fire_schedule"],
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
    return insert(tx, prepared([firing.run]), policy)[0]
