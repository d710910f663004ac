"""The statements of this store, run by their names."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from runner.store.sql_files import load_statements

SQL: Final = load_statements("sqlite")
Values = Sequence[object] | Mapping[str, object]


class Statements:
    """Runs them on a connection, in the transaction that is open on it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def execute(self, name: str, values: Values = ()) -> int:
        """Run a statement that returns no rows; how many rows it changed."""
        return self.connection.execute(SQL[name], values).rowcount

    def many(self, name: str, values: Iterable[Values]) -> None:
        """Run it once with each of these values."""
        self.connection.executemany(SQL[name], values)

    def rows(self, name: str, values: Values = ()) -> list[sqlite3.Row]:
        """All rows of a statement."""
        return self.connection.execute(SQL[name], values).fetchall()

    def row(self, name: str, values: Values = ()) -> sqlite3.Row | None:
        """The first row of a statement, which is run to its end."""
        rows = self.rows(name, values)
        return rows[0] if rows else None

    def value(self, name: str, values: Values = ()) -> Any:
        """The first column of the first row, `None` without rows."""
        row = self.row(name, values)
        return row[0] if row else None
