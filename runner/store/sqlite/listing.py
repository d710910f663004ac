"""Reading runs and queues. Every function sees one snapshot, through a connection that cannot write."""

from __future__ import annotations

from runner.domain.options.run_filter import RunFilter
from runner.domain.run import QueueState, Run, RunDetail
from runner.domain.status import Status
from runner.store.listing import cursor_after, fitting, length, newest_runs, position_of
from runner.store.records import Page, Policy
from runner.store.refusals import no_run
from runner.store.rows import attempt_of, detail_of, run_of
from runner.store.sqlite.queues import state_of
from runner.store.sqlite.statements import Statements


def detail(tx: Statements, app: str, run: str) -> RunDetail:
    """One run with everything that belongs to it."""
    row = tx.row("run_by_id", (app, run))
    if row is None:
        raise no_run(app, run)
    return _detail(tx, row["seq"])


def page(tx: Statements, wanted: RunFilter) -> Page[RunDetail]:
    """Runs that pass the filter, newest first."""
    limit = length(wanted.limit)
    found = _matching(tx, wanted, limit + 1)
    count = fitting(tx.value("size", (seq,)) for seq in found[:limit])
    items = tuple(_detail(tx, seq) for seq in found[:count])
    return Page(items=items, next_cursor=cursor_after("run", found, count))


def totals(tx: Statements, app: str) -> dict[Status, int]:
    """How many runs there are in each status, those with none left out."""
    return {Status(row["status"]): row["runs"] for row in tx.rows("totals_of_app", (app,))}


def queues(tx: Statements, policy: Policy, app: str, cursor: str | None, limit: int) -> Page[QueueState]:
    """Queues that hold, wait, are paused or shut, by name."""
    limit = length(limit)
    rows = tx.rows("queues_after", (app, position_of("queue", cursor) if cursor else "", limit + 1))
    items = tuple(state_of(tx, policy, row) for row in rows[:limit])
    return Page(items=items, next_cursor=cursor_after("queue", [row["name"] for row in rows], len(items)))


def ancestors(tx: Statements, app: str, run: str) -> list[Run]:
    """The run and those above it, itself first."""
    found = [run_of(row) for row in tx.rows("ancestors", {"app": app, "run": run})]
    if not found:
        raise no_run(app, run)
    return found


def _detail(tx: Statements, seq: int) -> RunDetail:
    (row,) = tx.rows("detail", (seq,))
    return detail_of(row, map(attempt_of, tx.rows("attempts_of_run", (seq,))))


def _matching(tx: Statements, wanted: RunFilter, limit: int) -> list[int]:
    """The numbers of the newest runs that pass."""

    def source(index: str | None) -> str:
        return f"runs INDEXED BY {index}" if index else "run_tags CROSS JOIN runs ON runs.seq = run_tags.run"

    found: list[int] = []
    for statement, values in newest_runs(wanted, limit, mark=lambda _: "?", source=source):
        found += (seq for (seq,) in tx.connection.execute(statement, values))
    return sorted(found, reverse=True)[:limit]
