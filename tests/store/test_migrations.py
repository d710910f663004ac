"""Migrations: what they make is written down, each is done whole or not at all, and no other version is worked on."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import asyncpg
import pytest

from runner.errors import InvariantError, StoreVersionError
from runner.store.postgres import migrate as postgres
from runner.store.postgres.database import Database
from runner.store.sql_files import load_steps
from runner.store.sqlite import migrate as sqlite
from support.postgres import create_database, drop_database, shared_server, sql
from support.schemas import FOLDER, described_postgres, described_sqlite
from support.stores import PostgresBackend

FIRST = "CREATE TABLE notes (line text NOT NULL); INSERT INTO notes VALUES ('kept')"
SECOND = "ALTER TABLE notes ADD COLUMN at bigint; CREATE INDEX notes_by_age ON notes (at)"
BROKEN = "CREATE TABLE half (x bigint); INSERT INTO nowhere VALUES (1)"


@pytest.fixture
def file():
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


@pytest.fixture
async def database():
    url = create_database(shared_server())
    database = Database(url, lambda _notice: None, is_pooled=False)
    database.open()
    yield database
    await database.close()
    drop_database(shared_server(), url)


def test_the_schema_of_sqlite_that_is_written_down_is_what_the_migrations_make(file) -> None:
    migrated = []
    for each in (sqlite.STORE, sqlite.LOGS):
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            sqlite.migrate(connection, Path("memory"), each)
            migrated += described_sqlite(connection)

    file.executescript((FOLDER / "sqlite" / "schema.sql").read_text())

    assert list(described_sqlite(file)) == migrated


async def test_the_schema_of_postgresql_that_is_written_down_is_what_the_migrations_make(tmp_path) -> None:
    migrated, written = PostgresBackend(tmp_path), PostgresBackend(tmp_path)
    await migrated.store().migrate()

    connection = await asyncpg.connect(written.url)
    await connection.execute((FOLDER / "postgres" / "schema.sql").read_text())
    await connection.close()

    assert list(described_postgres(written.sql)) == list(described_postgres(migrated.sql))
    for backend in (migrated, written):
        backend.remove()


@pytest.mark.parametrize(
    ("dialect", "folder"), [("postgres", "migrations"), ("sqlite", "migrations"), ("sqlite", "log_migrations")]
)
def test_migrations_are_numbered_one_after_the_other(dialect, folder) -> None:
    names = sorted(path.name for path in (FOLDER / dialect / folder).iterdir())

    assert [int(name.split("_")[0]) for name in names] == list(range(1, len(names) + 1))
    assert len(load_steps(dialect, folder)) == len(names)


def test_a_file_of_an_older_version_is_brought_up_to_date_and_keeps_its_rows(file) -> None:
    sqlite.migrate(file, Path("memory"), [_lines(FIRST)])
    with pytest.raises(StoreVersionError, match="older"):
        sqlite.migrate(file, Path("memory"), [_lines(FIRST), _lines(SECOND)], migrating=False)

    sqlite.migrate(file, Path("memory"), [_lines(FIRST), _lines(SECOND)])

    assert file.execute("SELECT line, at FROM notes").fetchall() == [("kept", None)]
    assert file.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_step_that_is_interrupted_leaves_a_file_as_it_was_and_is_done_again(file) -> None:
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        sqlite.migrate(file, Path("memory"), [_lines(FIRST), _lines(BROKEN)])

    assert file.execute("SELECT name FROM sqlite_master").fetchall() == [("notes",)]
    assert file.execute("PRAGMA user_version").fetchone() == (1,)
    sqlite.migrate(file, Path("memory"), [_lines(FIRST), _lines(SECOND)])
    assert file.execute("SELECT line, at FROM notes").fetchall() == [("kept", None)]


def test_a_file_of_a_newer_version_is_refused(file) -> None:
    sqlite.migrate(file, Path("memory"), [_lines(FIRST), _lines(SECOND)])

    with pytest.raises(StoreVersionError, match=r"newer isolane \(schema 2, this one knows 1\)"):
        sqlite.migrate(file, Path("memory"), [_lines(FIRST)])


async def test_a_database_of_an_older_version_is_brought_up_to_date_and_keeps_its_rows(database) -> None:
    with pytest.raises(StoreVersionError, match="no store yet"):
        await postgres.migrate(database, [FIRST], migrating=False)
    await postgres.migrate(database, [FIRST])
    with pytest.raises(StoreVersionError, match="older"):
        await postgres.migrate(database, [FIRST, SECOND], migrating=False)

    await postgres.migrate(database, [FIRST, SECOND])

    assert sql(database.url, "SELECT line, at FROM notes") == [("kept", None)]
    assert sql(database.url, "SELECT version FROM schema_version ORDER BY 1") == [(1,), (2,)]


async def test_a_step_that_is_interrupted_leaves_a_database_as_it_was_and_is_done_again(database) -> None:
    await postgres.migrate(database, [FIRST])
    with pytest.raises(InvariantError, match="nowhere"):
        await postgres.migrate(database, [FIRST, BROKEN])

    assert sql(database.url, "SELECT to_regclass('half'), max(version) FROM schema_version") == [(None, 1)]
    await postgres.migrate(database, [FIRST, SECOND])
    assert sql(database.url, "SELECT line, at FROM notes") == [("kept", None)]


async def test_a_node_works_on_the_next_version_of_a_database_and_refuses_any_later(database) -> None:
    await postgres.migrate(database, [FIRST, SECOND, "SELECT 1"])

    await postgres.migrate(database, [FIRST, SECOND])
    with pytest.raises(StoreVersionError, match=r"newer isolane \(schema 3, this one knows 1\)"):
        await postgres.migrate(database, [FIRST])


def _lines(step: str) -> str:
    """A file's statements end with their lines."""
    return step.replace("; ", ";\n") + ";\n"
