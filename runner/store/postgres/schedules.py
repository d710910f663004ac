"""Schedules: when each fires next, and firing it exactly once, however many nodes see it due."""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.run import Run
from runner.store.postgres.database import Transaction
from runner.store.postgres.enqueueing import insert
from runner.store.records import Firing, Policy, ScheduleState
from runner.store.rows import entries_of, run_of

#: No other rule stands, since whoever declared it did so earlier.
AT_ONCE = -1


async def put(tx: Transaction, declared: Sequence[ScheduleState], now: int, *, silent_us: int) -> None:
    """Store what is declared; another rule stands where somebody declared it in the last `silent_us`."""
    await tx.rows("lock_schedules")
    await tx.rows(
        "put_schedules",
        [each.app for each in declared],
        [each.name for each in declared],
        [each.task for each in declared],
        [each.rule for each in declared],
        [each.next_at for each in declared],
        now,
        now - silent_us,
        now + silent_us,
    )


async def keep(
    tx: Transaction, declared: Sequence[ScheduleState], now: int, *, silent_us: int, forgotten_us: int
) -> None:
    """Tell again what is declared, and delete what was declared by nobody for so long."""
    await tx.rows("lock_schedules")
    last = await tx.value("last_declared", now)
    if declared:
        await put(tx, declared, now, silent_us=silent_us)
    await tx.rows("forget_undeclared", last, forgotten_us, now)


async def fire(tx: Transaction, firing: Firing, policy: Policy) -> Run | None:
    """Move the schedule on from `due_at` and store its run, or do nothing where somebody did already."""
    run = firing.run
    name = (firing.app, firing.name, firing.due_at)
    if tx.repeated and run is not None and (row := await tx.row("fired_so", *name, run.id)):
        return run_of(row)
    moved = await tx.row("fire_schedule", *name, firing.next_at, run.id if run else None)
    if moved is None or run is None:
        return None
    return (await insert(tx, entries_of([run]), policy))[0]
