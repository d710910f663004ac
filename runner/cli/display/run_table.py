"""Runs as a table, a line each."""

from __future__ import annotations

from typing import Any

from runner.cli.display.output import say
from runner.cli.display.render import (
    ago,
    cut,
    id_column,
    name_column,
    print_json,
    print_table,
    room_beside,
    short_column,
    status_text,
    took,
)
from runner.domain.status import Status

#: A reason is shown in no fewer columns.
_LEAST_WHY = 24
_NEEDS_NO_WHY = (Status.RUNNING, Status.SUCCEEDED)


def print_counts(counts: dict[str, int], *, as_json: bool) -> None:
    """How many runs there are in each status."""
    if as_json:
        print_json(counts)
    else:
        print_table([short_column("status"), short_column("runs")], [(name, str(n)) for name, n in counts.items()])


def print_runs(runs: list[dict[str, Any]], *, wide: bool) -> None:
    """A line for each run; why it does not run where there is room, or `wide`, then with no regard to the terminal."""
    if not runs:
        say("no runs", err=True)
        return
    # The column is worth its room only where there are queues.
    queued = any(run["queue"] for run in runs)
    columns = [id_column("id"), short_column("status"), name_column("task"), short_column("when")]
    columns += [short_column("took"), short_column("attempts")]
    rows: list[list[Any]] = [
        [
            run["id"],
            status_text(run["status"]),
            run["task"],
            _when(run),
            took(run["started_at"], run["finished_at"]),
            str(run["attempt_count"]),
        ]
        for run in runs
    ]
    if queued:
        columns.insert(3, name_column("queue"))
        for row, run in zip(rows, runs, strict=True):
            row.insert(3, run["queue"] or "")
    room = room_beside(columns, rows)
    if wide or room >= _LEAST_WHY:
        columns.append(name_column("why"))
        for row, run in zip(rows, runs, strict=True):
            why = "" if run["status"] in _NEEDS_NO_WHY else run["why"] or ""
            row.append(why if wide else cut(why, room))
    print_table(columns, rows, whole=wide)


def _when(run: dict[str, Any]) -> str:
    """When the newest thing happened to it, or will: it ended, it began, it is due."""
    due = run["next_attempt_at"] or run["due_at"]
    if run["finished_at"] is not None:
        return f"ended {ago(run['finished_at'])}"
    return f"began {ago(run['started_at'])}" if run["status"] == "running" else f"due {ago(due)}"
