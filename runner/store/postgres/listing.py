"""Reading runs and queues. Every function sees one snapshot, in a transaction that cannot write."""

from __future__ import annotations

from collections import defaultdict

from runner.domain.options.run_filter import RunFilter
from runner.domain.run import QueueState, Run, RunDetail, StoredAttempt
from runner.store.listing import cursor_after, fitting, length, newest_runs, position_of
from runner.store.postgres.database import Transaction
from runner.store.postgres.queues import states_of
from runner.store.records import Page, Policy
from runner.store.refusals import no_run
from runner.store.rows import attempt_of, detail_of, run_of


async def detail(tx: Transaction, app: str, run: str) -> RunDetail:
    """One run with everything that belongs to it."""
    row = await tx.row("run_by_id", app, run)
    if row is None:
        raise no_run(app, run)
    (found,) = await _details(tx, [row["seq"]])
    return found


async def page(tx: Transaction, wanted: RunFilter) -> Page[RunDetail]:
    """Runs that pass the filter, newest first."""
    limit = length(wanted.limit)
    found = await _matching(tx, wanted, limit + 1)
    count = fitting(row["size"] for row in await tx.rows("sizes", found[:limit]))
    return Page(items=await _details(tx, found[:count]), next_cursor=cursor_after("run", found, count))


async def queues(tx: Transaction, policy: Policy, app: str, cursor: str | None, limit: int) -> Page[QueueState]:
    """Queues that hold, wait, are paused or shut, by name."""
    limit = length(limit)
    rows = await tx.rows("queues_after", app, position_of("queue", cursor) if cursor else "", limit + 1)
    items = tuple(await states_of(tx, policy, app, rows[:limit]))
    return Page(items=items, next_cursor=cursor_after("queue", [row["name"] for row in rows], len(items)))


async def ancestors(tx: Transaction, app: str, run: str) -> list[Run]:
    """The run and those above it, itself first."""
    found = [run_of(row) for row in await tx.rows("ancestors", app, run)]
    if not found:
        raise no_run(app, run)
    return found


async def _details(tx: Transaction, numbers: list[int]) -> tuple[RunDetail, ...]:
    attempts: defaultdict[int, list[StoredAttempt]] = defaultdict(list)
    for row in await tx.rows("attempts_of_runs", numbers):
        attempts[row["run"]].append(attempt_of(row))
    return tuple(detail_of(row, attempts[row["seq"]]) for row in await tx.rows("details", numbers))


async def _matching(tx: Transaction, wanted: RunFilter, limit: int) -> list[int]:
    """The numbers of the newest runs that pass."""

    def source(index: str | None) -> str:
        return "runs" if index else "run_tags JOIN runs ON runs.seq = run_tags.run"

    found: list[int] = []
    for statement, values in newest_runs(wanted, limit, mark=lambda place: f"${place}", source=source):
        found += (row["seq"] for row in await tx.connection.fetch(statement, *values))
    return sorted(found, reverse=True)[:limit]
