"""Brings a database to the newest schema, each step in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from runner.errors import StoreUnavailableError
from runner.store.sql_files import check_version, load_steps
from runner.store.sqlite.file.connection import connect_writer

#: The steps of the store's file, and of the one of its logs.
STORE: Final = load_steps("sqlite")
LOGS: Final = load_steps("sqlite", "log_migrations")
#: SQLite's mark of whose file it is: "isol".
APPLICATION_ID = 0x69736F6C


def connect_migrated(
    path: Path, steps: Sequence[str], *, migrating: bool, synchronous: Literal["FULL", "NORMAL"], cache_bytes: int
) -> sqlite3.Connection:
    """The connection that writes this file, at the newest schema; raises as `connect_writer` and `migrate` do."""
    connection = connect_writer(path, synchronous=synchronous, cache_bytes=cache_bytes)
    try:
        migrate(connection, path, steps, migrating=migrating)
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection, path: Path, steps: Sequence[str], *, migrating: bool = True) -> None:
    """Apply the steps that this database does not have yet, if `migrating`.

    Raises:
        StoreUnavailableError: it is somebody else's database.
        StoreVersionError: a newer isolane wrote it; or an older one, and nothing may be migrated.
    """
    application_id, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    is_new = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if application_id != APPLICATION_ID and not (is_new and version == 0):
        raise StoreUnavailableError(
            f"{path} is a database of another program: name another file in [runner] store, or move it away"
        )
    check_version(str(path), version, needed=len(steps), migrating=migrating)
    for number, step in enumerate(steps[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in _statements(step):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _statements(script: str) -> Iterator[str]:
    # Not `executescript`, which would commit before it begins. A trigger's body has semicolons of its own.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
