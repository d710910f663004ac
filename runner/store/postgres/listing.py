"""Reading runs and queues. Every function sees one snapshot, in a transaction that cannot write."""

from __future__ import annotations

from collections import defaultdict

import asyncpg

from runner.domain.options.run_filter import RunFilter
from runner.domain.run import Attempt, QueueState, Run, RunDetail
from runner.domain.status import Status
from runner.errors import NotFoundError
from runner.store.cursors import cursor_at, position_of
from runner.store.policy import Policy
from runner.store.postgres.database import Transaction
from runner.store.postgres.queues import states_of
from runner.store.records import Page
from runner.store.rows import attempt_of, error_of, run_of

_PAGE_BYTES = 8_000_000
_LONGEST_PAGE = 1000
#: Filters that an index of their own answers.
_INDEXED = ("queue", "task", "tag")


async def detail(tx: Transaction, app: str, run: str) -> RunDetail:
    """One run with everything that belongs to it."""
    row = await tx.row("run_by_id", app, run)
    if row is None:
        raise NotFoundError(f"no run {run} in app {app!r}")
    (found,) = await _details(tx, [row["seq"]])
    return found


async def page(tx: Transaction, wanted: RunFilter) -> Page[RunDetail]:
    """Runs that pass the filter, newest first."""
    limit = max(1, min(wanted.limit, _LONGEST_PAGE))
    newest_first = await _matching(tx, wanted, limit + 1)
    kept = size = 0
    for row in await tx.rows("sizes", newest_first[:limit]):
        size += row["size"]
        if kept and size > _PAGE_BYTES:
            break
        kept += 1
    items = await _details(tx, newest_first[:kept])
    is_last = kept == len(newest_first)
    return Page(items=items, next_cursor=None if is_last else cursor_at("run", str(newest_first[kept - 1])))


async def queues(tx: Transaction, policy: Policy, app: str, cursor: str | None, limit: int) -> Page[QueueState]:
    """Queues that hold, wait, are paused or shut, by name."""
    limit = max(1, min(limit, _LONGEST_PAGE))
    after = position_of("queue", cursor) if cursor else ""
    rows = await tx.rows("queues_after", app, after, limit + 1)
    items = tuple(await states_of(tx, policy, app, rows[:limit]))
    return Page(items=items, next_cursor=cursor_at("queue", items[-1].name) if len(rows) > limit else None)


async def ancestors(tx: Transaction, app: str, run: str) -> list[Run]:
    """The run and those above it, itself first."""
    found = [run_of(row) for row in await tx.rows("ancestors", app, run)]
    if not found:
        raise NotFoundError(f"no run {run} in app {app!r}")
    return found


async def _details(tx: Transaction, numbers: list[int]) -> tuple[RunDetail, ...]:
    attempts: defaultdict[int, list[Attempt]] = defaultdict(list)
    for row in await tx.rows("attempts_of_runs", numbers):
        attempts[row["run"]].append(attempt_of(row))
    return tuple(_detail_of(row, tuple(attempts[row["seq"]])) for row in await tx.rows("details", numbers))


def _detail_of(row: asyncpg.Record, attempts: tuple[Attempt, ...]) -> RunDetail:
    return RunDetail(
        run=run_of(row),
        parameters=row["parameters"],
        result=row["result"],
        error=error_of(row["error"]),
        attempts=attempts,
        progress=row["progress"],
    )


async def _matching(tx: Transaction, wanted: RunFilter, limit: int) -> list[int]:
    """The numbers of the newest runs that pass."""
    values: list[object] = [wanted.app]

    def place(value: object) -> str:
        values.append(value)
        return f"${len(values)}"

    tests = ["runs.app = $1", *wanted.conditions(lambda _, value: place(value))]
    source = "runs"
    if wanted.tag is not None:
        source = "run_tags JOIN runs ON runs.seq = run_tags.run"
        tests.append(f"run_tags.app = $1 AND run_tags.tag = {place(wanted.tag)}")
    if wanted.cursor:
        tests.append(f"runs.seq < {place(int(position_of('run', wanted.cursor)))}")
    statuses = [status.value for status in (wanted.status if wanted.status is not None else Status)]
    # The index of statuses is in order of age within each status only: one short list for each, merged below.
    by_status = all(getattr(wanted, name) is None for name in _INDEXED)
    fixed = len(values)
    found: list[int] = []
    for group in [[status] for status in statuses] if by_status else [statuses]:
        del values[fixed:]
        statement = f"""
            SELECT runs.seq FROM {source}
            WHERE {" AND ".join(tests)}
                AND {f"status = {place(group[0])}" if by_status else f"status = ANY ({place(group)}::text[])"}
            ORDER BY {"run_tags.run" if wanted.tag is not None else "runs.seq"} DESC LIMIT {limit}
        """  # noqa: S608 - made of the names above only
        found += [row["seq"] for row in await tx.connection.fetch(statement, *values)]
    return sorted(found, reverse=True)[:limit]
