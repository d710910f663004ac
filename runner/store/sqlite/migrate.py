"""Brings a database to the newest schema, one numbered file at a time, each in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from runner.errors import StoreUnavailableError, StoreVersionError

#: SQLite's mark of whose file it is: "isol".
APPLICATION_ID = 0x69736F6C


def migrate(connection: sqlite3.Connection, path: Path, folder: str, *, migrating: bool = True) -> None:
    """Apply the files of `runner/store/sql/sqlite/<folder>` that this database does not have yet, if `migrating`.

    Raises:
        StoreUnavailableError: it is somebody else's database.
        StoreVersionError: a newer isolane wrote it; or an older one, and nothing may be migrated.
    """
    scripts = sorted(
        (
            file
            for file in files("runner.store").joinpath("sql", "sqlite", folder).iterdir()
            if file.name.endswith(".sql")
        ),
        key=lambda file: file.name,
    )
    application_id, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    is_new = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if application_id != APPLICATION_ID and not (is_new and version == 0):
        raise StoreUnavailableError(
            f"{path} is a database of another program: name another file in [runner] store, or move it away"
        )
    if version > len(scripts):
        raise StoreVersionError(
            f"{path} was written by a newer isolane (schema {version}, this one knows {len(scripts)}): "
            "upgrade isolane, or name another file in [runner] store"
        )
    if version < len(scripts) and not migrating:
        raise StoreVersionError(
            f"{path} was written by an older isolane (schema {version}, this one needs {len(scripts)}): "
            "run `isolane store migrate`"
        )
    for number, script in enumerate(scripts[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in _statements(script.read_text(encoding="utf-8")):
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
