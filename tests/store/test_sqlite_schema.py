"""The schema and its statements: equal to the domain's tables, and never a scan of what grows."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path

import pytest

import runner.store
from runner.domain.status import TRANSITIONS, Reason, Status
from runner.store.sqlite.migrate import LOGS, STORE, migrate
from runner.store.sqlite.statements import SQL

FOLDER = Path(runner.store.__file__).parent
RUN = """INSERT INTO runs (app, id, task, queue, status, ready, priority, tags, created_at, due_at)
         VALUES ('main', ?, 't', '', 'queued', 1, 0, '[]', 0, 0)"""


@pytest.fixture
def database():
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, Path("memory"), STORE)
        yield connection


def _put(connection: sqlite3.Connection, status: Status) -> None:
    """Write a run of this status, past what triggers allow but not past what a row may say."""
    ready = {Status.SCHEDULED: 0, Status.QUEUED: 1, Status.RETRYING: 0, Status.WAITING: 0}.get(status)
    started = None if status in (Status.SCHEDULED, Status.QUEUED, Status.EXPIRED) else 1
    connection.execute(
        "UPDATE runs SET status = ?, ready = ?, started_at = ?, attempt_count = ?, finished_at = ?",
        (status.value, ready, started, int(started is not None), 1 if status.is_final else None),
    )


def test_the_database_allows_exactly_the_transitions_of_the_domain(database) -> None:
    stored = set(database.execute("SELECT old, new FROM transitions"))

    assert stored == {(old.value, new.value) for old, following in TRANSITIONS.items() for new in following}


@pytest.mark.parametrize("old", Status)
@pytest.mark.parametrize("new", Status)
def test_a_transition_that_is_not_in_the_table_is_refused(database, old, new) -> None:
    (guard,) = database.execute("SELECT sql FROM sqlite_master WHERE name = 'runs_follow'").fetchone()
    database.execute("DROP TRIGGER runs_follow")
    database.execute(RUN, ("run",))
    _put(database, old)
    database.execute(guard)

    if new in TRANSITIONS[old] or new is old:
        _put(database, new)
    else:
        with pytest.raises(sqlite3.IntegrityError, match="may not follow"):
            _put(database, new)


@pytest.mark.parametrize(
    "change",
    [
        "status = 'succeeded', ready = NULL",
        "finished_at = 1",
        "ready = NULL",
        "ready = 0",
        "status = 'running', ready = NULL",
        "status = 'running', attempt_count = 1, started_at = 1",
        "started_at = 1",
        "attempt_count = 1",
        "status = 'unheard', ready = NULL",
        "status = 'expired', ready = NULL, finished_at = 1, started_at = 1, attempt_count = 1",
    ],
)
def test_a_row_that_contradicts_itself_is_refused(database, change) -> None:
    database.execute(RUN, ("run",))

    with pytest.raises(sqlite3.IntegrityError):
        database.execute(f"UPDATE runs SET {change}")


def test_a_run_begins_scheduled_or_queued(database) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="begins"):
        database.execute(
            RUN.replace("'queued', 1", "'running', NULL")
            .replace("due_at)", "due_at, started_at, attempt_count)")
            .replace("0, 0)", "0, 0, 0, 1)"),
            ("run",),
        )


def test_every_reason_of_the_domain_is_known_to_the_database(database) -> None:
    (sql,) = database.execute("SELECT sql FROM sqlite_master WHERE name = 'attempts'").fetchone()
    (listed,) = re.findall(r"reason IN \(([^)]*)\)", sql)

    assert set(re.findall(r"'(\w+)'", listed)) == set(Reason)


def test_a_run_has_one_live_attempt(database) -> None:
    database.execute(RUN, ("run",))
    attempt = "INSERT INTO attempts (run, number, token, node, started_at) VALUES (1, ?, 't', 'n', 0)"
    database.execute(attempt, (1,))

    with pytest.raises(sqlite3.IntegrityError):
        database.execute(attempt, (2,))


def test_the_diagram_in_the_readme_shows_exactly_the_transitions() -> None:
    drawn = set(re.findall(r"^ *(\w+) --> (\w+)$", (FOLDER / "README.md").read_text(), re.MULTILINE))

    assert drawn == {(old.value, new.value) for old, following in TRANSITIONS.items() for new in following}


def test_every_statement_is_used_and_every_name_that_is_used_exists() -> None:
    sources = "".join(path.read_text() for path in (FOLDER / "sqlite").glob("*.py"))

    assert [name for name in SQL if f'"{name}"' not in sources] == []
    used = set(re.findall(r'tx\.(?:execute|many|rows|row|value)\(\s*"(\w+)"', sources))
    assert used <= set(SQL)


@pytest.mark.parametrize("name", sorted(SQL))
def test_no_statement_walks_through_a_table_that_grows(database, name) -> None:
    for step in LOGS:
        database.executescript(step)
    statement = re.sub(r"--.*", "", SQL[name])
    names = re.findall(r":(\w+)", statement)
    values = dict.fromkeys(names, 1) if names else (1,) * statement.count("?")

    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", values)]

    # `totals` has a row for each app and status.
    small = ("clock", "line", "schedules", "announced", "sqlite_sequence", "totals")
    small += ("queues",) if name == "all_queues" else ()
    walks = [
        step
        for step in plan
        if step.startswith("SCAN") and not step.startswith(tuple(f"SCAN {table}" for table in small))
    ]
    # Live attempts are as many as there are slots.
    assert [step for step in walks if "attempts_open" not in step] == []
