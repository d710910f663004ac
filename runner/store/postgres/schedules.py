"""Schedules: when each fires next, and firing it exactly once, however many nodes see it due."""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.run import Run
from runner.store.policy import Policy
from runner.store.postgres.database import Transaction
from runner.store.postgres.enqueueing import insert, prepared
from runner.store.records import Firing, ScheduleState
from runner.store.rows import run_of


async def put(tx: Transaction, wanted: Sequence[ScheduleState]) -> None:
    """Make the stored schedules these."""
    await tx.rows("lock_schedules")
    await tx.rows("delete_schedules_but", [each.app for each in wanted], [each.name for each in wanted])
    for each in wanted:
        await tx.rows("put_schedule", each.app, each.name, each.task, each.rule, each.next_at)


async def fire(tx: Transaction, firing: Firing, policy: Policy) -> Run | None:
    """Move the schedule on from `due_at` and store its run, or do nothing where somebody did already."""
    run = firing.run
    name = (firing.app, firing.name, firing.due_at)
    if tx.repeated and run is not None and (row := await tx.row("fired_so", *name, run.id)):
        return run_of(row)
    moved = await tx.row("fire_schedule", *name, firing.next_at, run.id if run else None)
    if moved is None or run is None:
        return None
    return (await insert(tx, prepared([run]), policy))[0]
