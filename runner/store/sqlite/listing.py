"""Reading runs and queues. Every function sees one snapshot, through a connection that cannot write."""

from __future__ import annotations

import json
import sqlite3

from runner.domain.options.run_filter import RunFilter
from runner.domain.run import QueueState, Run, RunDetail
from runner.domain.status import Status
from runner.errors import NotFoundError
from runner.store.cursors import cursor_at, position_of
from runner.store.policy import Policy
from runner.store.records import Page
from runner.store.rows import attempt_of, error_of, run_of
from runner.store.sqlite.queues import state_of
from runner.store.sqlite.statements import SQL

_PAGE_BYTES = 8_000_000
_LONGEST_PAGE = 1000
#: The index that answers a filter best, the most telling one first; the rest of the filter is tested row by row.
_INDEXES = {
    "queue": "runs_by_queue",
    "task": "runs_by_task",
}


def detail(connection: sqlite3.Connection, app: str, run: str) -> RunDetail:
    """One run with everything that belongs to it."""
    row = connection.execute(SQL["run_by_id"], (app, run)).fetchone()
    if row is None:
        raise NotFoundError(f"no run {run} in app {app!r}")
    return _detail_of(connection, row)


def page(connection: sqlite3.Connection, wanted: RunFilter) -> Page[RunDetail]:
    """Runs that pass the filter, newest first."""
    limit = max(1, min(wanted.limit, _LONGEST_PAGE))
    newest_first = _matching(connection, wanted, limit + 1)
    items: list[RunDetail] = []
    size = 0
    for seq in newest_first[:limit]:
        item = _detail_of(connection, connection.execute(SQL["run_by_seq"], (seq,)).fetchone())
        size += len(item.parameters) + len(item.result or "")
        if items and size > _PAGE_BYTES:
            break
        items.append(item)
    is_last = len(items) == len(newest_first)
    return Page(
        items=tuple(items), next_cursor=None if is_last else cursor_at("run", str(newest_first[len(items) - 1]))
    )


def totals(connection: sqlite3.Connection, app: str) -> dict[Status, int]:
    """How many runs there are in each status, those with none left out."""
    return {Status(status): runs for status, runs in connection.execute(SQL["totals_of_app"], (app,))}


def queues(
    connection: sqlite3.Connection, policy: Policy, app: str, cursor: str | None, limit: int
) -> Page[QueueState]:
    """Queues that hold, wait, are paused or shut, by name."""
    limit = max(1, min(limit, _LONGEST_PAGE))
    after = position_of("queue", cursor) if cursor else ""
    rows = connection.execute(SQL["queues_after"], (app, after, limit + 1)).fetchall()
    items = tuple(state_of(connection, policy, row) for row in rows[:limit])
    return Page(items=items, next_cursor=cursor_at("queue", items[-1].name) if len(rows) > limit else None)


def ancestors(connection: sqlite3.Connection, app: str, run: str) -> list[Run]:
    """The run and those above it, itself first."""
    found = [run_of(row) for row in connection.execute(SQL["ancestors"], {"app": app, "run": run})]
    if not found:
        raise NotFoundError(f"no run {run} in app {app!r}")
    return found


def _detail_of(connection: sqlite3.Connection, row: sqlite3.Row) -> RunDetail:
    bodies = connection.execute(SQL["bodies"], (row["seq"],)).fetchone()
    return RunDetail(
        run=run_of(row),
        parameters=bodies["parameters"],
        result=bodies["result"],
        error=error_of(bodies["error"]),
        attempts=tuple(map(attempt_of, connection.execute(SQL["attempts_of_run"], (row["seq"],)))),
        progress=bodies["progress"],
    )


def _matching(connection: sqlite3.Connection, wanted: RunFilter, limit: int) -> list[int]:
    """The numbers of the newest runs that pass."""
    values: dict[str, object] = {"app": wanted.app, "limit": limit}

    def place(name: str, value: object) -> str:
        values[name] = value
        return f":{name}"

    tests = ["runs.app = :app", *wanted.conditions(place)]
    index = next((index for name, index in _INDEXES.items() if name in values), None)
    source = f"runs INDEXED BY {index or 'runs_by_status'}"
    if wanted.tag is not None:
        source = "run_tags CROSS JOIN runs ON runs.seq = run_tags.run"
        tests.append("run_tags.app = :app AND run_tags.tag = :tag")
        values["tag"] = wanted.tag
    if wanted.cursor:
        tests.append("runs.seq < :before")
        values["before"] = int(position_of("run", wanted.cursor))
    statuses = wanted.status if wanted.status is not None else frozenset(Status)
    # The index of statuses is in order of age within each status only: one short list for each, merged below.
    by_status = index is None and wanted.tag is None
    found: list[int] = []
    for group in [[status] for status in statuses] if by_status else [list(statuses)]:
        values["statuses"] = json.dumps(group)
        statement = f"""
            SELECT runs.seq FROM {source}
            WHERE {" AND ".join(tests)} AND status IN (SELECT value FROM json_each(:statuses))
            ORDER BY {"run_tags.run" if wanted.tag is not None else "runs.seq"} DESC LIMIT :limit
        """  # noqa: S608 - made of the names above only
        found += (seq for (seq,) in connection.execute(statement, values))
    return sorted(found, reverse=True)[:limit]
