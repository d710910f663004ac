"""The schema of PostgreSQL: equal to the domain's tables, brought up to date by many at once, never walked through."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest

import runner.store
from runner.domain.options.run_filter import RunFilter
from runner.domain.run import LogLine
from runner.domain.status import TRANSITIONS, Reason, Status
from runner.errors import StoreVersionError
from runner.store.postgres.database import SQL
from runner.store.postgres.migrate import STEPS
from support.stores import START, PostgresBackend, desk_at, new_run, open_postgres

FOLDER = Path(runner.store.__file__).parent
RUN = """INSERT INTO runs (app, id, task, queue, status, ready, priority, tags, created_at, due_at)
         VALUES ('main', 'run', 't', '', 'queued', 1, 0, '[]', 0, 0)"""
#: Tables that stay small, or that only rare operations read from end to end.
SMALL = {"transitions", "announced", "nodes", "schedules", "schema_version"}
NEWEST = len(STEPS)


@pytest.fixture
async def database(tmp_path):
    """A backend whose database has the schema."""
    backend = PostgresBackend(tmp_path)
    store = backend.store()
    await store.open()
    await store.close()
    yield backend
    backend.remove()


def _values(status: Status) -> str:
    """What a row of this status says."""
    ready = {Status.SCHEDULED: 0, Status.QUEUED: 1, Status.RETRYING: 0, Status.WAITING: 0}.get(status, "NULL")
    started = status not in (Status.SCHEDULED, Status.QUEUED, Status.EXPIRED)
    return (
        f"status = '{status}', ready = {ready}, started_at = {1 if started else 'NULL'},"
        f" attempt_count = {int(started)}, finished_at = {1 if status.is_final else 'NULL'}"
    )


async def test_the_database_allows_exactly_the_transitions_of_the_domain(database) -> None:
    database.sql(RUN)
    stored = set(database.sql("SELECT old, new FROM transitions"))
    assert stored == {(old.value, new.value) for old, following in TRANSITIONS.items() for new in following}

    for old in Status:
        for new in Status:
            database.sql("ALTER TABLE runs DISABLE TRIGGER runs_follow")
            database.sql(f"UPDATE runs SET {_values(old)}")
            database.sql("ALTER TABLE runs ENABLE TRIGGER runs_follow")
            if new in TRANSITIONS[old] or new is old:
                database.sql(f"UPDATE runs SET {_values(new)}")
            else:
                with pytest.raises(asyncpg.CheckViolationError, match="may not follow"):
                    database.sql(f"UPDATE runs SET {_values(new)}")


async def test_a_row_that_contradicts_itself_is_refused(database) -> None:
    database.sql(RUN)

    for change in (
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
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            database.sql(f"UPDATE runs SET {change}")
    with pytest.raises(asyncpg.CheckViolationError, match="final"):
        database.sql("DELETE FROM runs")


async def test_every_reason_of_the_domain_is_known_to_the_database_and_a_run_has_one_live_attempt(database) -> None:
    attempt = "INSERT INTO attempts (run, number, token, node, started_at) VALUES (1, ?, 't' || ?::text, 'n', 0)"
    for number, reason in enumerate(Reason):
        database.sql(attempt, (number, str(number)))
        database.sql("UPDATE attempts SET finished_at = 1, reason = ? WHERE finished_at IS NULL", (reason.value,))
    database.sql(attempt, (100, "100"))

    with pytest.raises(asyncpg.CheckViolationError):
        database.sql("UPDATE attempts SET finished_at = 1, reason = 'unheard' WHERE number = 100")
    with pytest.raises(asyncpg.UniqueViolationError):
        database.sql(attempt, (101, "101"))


def test_every_statement_is_used_and_every_name_that_is_used_exists() -> None:
    sources = "".join(path.read_text() for path in (*FOLDER.glob("*.py"), *FOLDER.glob("postgres/*.py")))

    assert [name for name in SQL if f'"{name}"' not in sources] == []
    used = set(re.findall(r'(?:tx\.(?:rows|row|value)|single)\(\s*"(\w+)"', sources))
    assert used | set(re.findall(r'SQL\["(\w+)"\]', sources)) <= set(SQL)


async def test_nodes_that_start_at_once_on_an_empty_database_make_its_schema_once(tmp_path) -> None:
    backend = PostgresBackend(tmp_path)
    stores = [backend.store() for _ in range(4)]

    await asyncio.gather(*(store.open() for store in stores))

    assert backend.sql("SELECT version FROM schema_version ORDER BY 1") == [(n,) for n in range(1, NEWEST + 1)]
    for store in stores:
        await store.close()
    backend.remove()


async def test_a_node_works_on_the_next_schema_and_refuses_any_later(database) -> None:
    database.sql("INSERT INTO schema_version (version) VALUES (?)", (NEWEST + 1,))
    store = open_postgres(database.url)
    await store.open()
    await store.close()

    database.sql("INSERT INTO schema_version (version) VALUES (?)", (NEWEST + 2,))
    with pytest.raises(StoreVersionError, match="upgrade"):
        await open_postgres(database.url).open()


async def test_nothing_in_a_runs_life_walks_through_a_table_that_grows(database) -> None:
    """By the server's own count of such walks, inside its functions and triggers too."""
    walks = "SELECT relname, seq_scan FROM pg_stat_user_tables"
    before = dict(database.sql(walks))  # made by the migrations
    store = open_postgres(database.url)
    await store.open()
    desk = await desk_at(store)
    await store.enqueue([new_run(queue=f"q{number % 50}", task="abc"[number % 3]) for number in range(500)])

    await desk.enqueue(queue="q1", idempotency_key="k", tags=("x",))
    first, second, third = await desk.claim(3)
    await store.append_logs("main", first.run.id, [LogLine(attempt=1, at=START, stream="stdout", text="x")])
    await desk.end(first, result="1")
    await desk.retry(second, due_in_s=5)
    await store.cancel("main", third.run.id, desk.now)
    desk.pass_s(6)
    await desk.claims()
    await store.purge("main", "q3", desk.now)
    await store.pause("main", "q4", desk.now)
    await store.resume("main", "q4")
    for page in (RunFilter(app="main"), RunFilter(app="main", queue="q5"), RunFilter(app="main", tag="x")):
        await store.list(page)
    await store.nodes()
    await store.prune(finished_before=desk.now + 1, logs_before=desk.now)
    await store.close()  # which makes its connections hand in what they counted

    walked = {name: walks - before[name] for name, walks in database.sql(walks) if walks > before[name]}
    assert walked.keys() <= SMALL, walked


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (
            """SELECT app, task, turn, queue FROM lanes
               WHERE ready > 0 AND open AND loadable AND (app, task) > ('a', 'b')
               ORDER BY app, task, turn, queue LIMIT 1""",
            "lanes_claimable",
        ),
        (
            """SELECT seq FROM runs WHERE app = 'a' AND queue = 'q' AND task = 't' AND ready = 1
               ORDER BY priority DESC, seq LIMIT 1""",
            "runs_waiting",
        ),
        ("SELECT due_at FROM runs WHERE ready = 0 ORDER BY due_at LIMIT 1", "runs_due"),
        ("SELECT opens_at FROM queues WHERE opens_at IS NOT NULL ORDER BY opens_at LIMIT 1", "queues_opening"),
    ],
)
async def test_what_a_claim_looks_for_is_the_first_entry_of_an_index(database, statement, index) -> None:
    plan = "\n".join(line for (line,) in database.sql(f"EXPLAIN {statement}"))

    assert re.search(rf"Index (Only )?Scan using {index} on", plan), plan
    assert "Sort" not in plan, plan
