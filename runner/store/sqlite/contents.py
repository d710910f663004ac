"""`Contents` of the two files: their rows, as they are."""

# ruff: noqa: D102 - the contract documents its methods

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from runner.store.contents import Contents, Numbers, Row, Table, begins_anew, page_is_full, size_of
from runner.store.parts import AT_ONCE
from runner.store.refusals import copy_is_unfinished
from runner.store.sql_files import load_statements
from runner.store.sqlite.file.lock import backup_command
from runner.store.sqlite.file.read_only_file import ReadOnlyFile
from runner.store.sqlite.logs import Logs
from runner.store.sqlite.migrate import LOGS, STORE, migrate
from runner.store.sqlite.queues import refresh_all
from runner.store.sqlite.readers import Readers
from runner.store.sqlite.statements import Statements
from runner.store.sqlite.writer import Transaction, Writer

_CHECKS: Final = (*load_statements("checks").values(), *load_statements("checks/sqlite").values())
# What the shared columns do not say, and these tables want.
_DEFAULTS = {"attempts": {"token": "''"}}


class SqliteContents(Contents):
    """What the store's file and the one of its logs hold."""

    def __init__(self, writer: Writer, readers: Readers, logs: Logs) -> None:
        self._writer = writer
        self._readers = readers
        self._logs = logs

    async def count(self, table: Table) -> int:
        statement = f"SELECT count(*) FROM {table.name}"  # noqa: S608 - one of TABLES
        count: int = await self._of(table).run(lambda tx: tx.connection.execute(statement).fetchone()[0])
        return count

    async def page(self, table: Table, after: Row | None, limit: int) -> list[Row]:
        return await self._of(table).run(lambda tx: _page(tx, table, after, limit))

    async def numbers(self) -> Numbers:
        rows = await self._readers.run(lambda tx: tx.rows("last_numbers"))
        last = {row["name"]: row["seq"] for row in rows}
        return Numbers(seq=last.get("runs", 0), fence=last.get("attempts", 0))

    async def begin_copy(self, source: str) -> None:
        await self._writer.run(lambda tx: _begin(tx, source))

    async def put(self, table: Table, rows: Sequence[Row]) -> None:
        writer = self._logs.writer if table.is_log else self._writer
        await writer.run(lambda tx: _put(tx, table, rows))

    async def end_copy(self, numbers: Numbers) -> None:
        queues = await self._readers.run(lambda tx: [(row["app"], row["name"]) for row in tx.rows("all_queues")])
        for begin in range(0, len(queues), AT_ONCE):
            part = queues[begin : begin + AT_ONCE]
            await self._writer.run(lambda tx, part=part: refresh_all(tx, part))  # type: ignore[misc]
        await self._writer.run(lambda tx: _end(tx, numbers))

    async def check(self) -> list[str]:
        return await self._readers.run(_problems) + await self._logs.readers.run(_damage)

    def _of(self, table: Table) -> Readers:
        return self._logs.readers if table.is_log else self._readers


def check(path: Path, logs: Path) -> list[str]:
    """All that is wrong with these two files, which are only looked at; a copy may come without its logs."""
    files = ReadOnlyFile(path)
    try:
        files.open()
        problems = _examine(files, path, STORE, _problems)
        if logs.exists():
            problems += _examine(files, logs, LOGS, _damage)
        if problems and not files.has_lock:
            problems.append(
                "this is a copy: one that was made with `cp` while a runner wrote is no evidence; make one with "
                f"{backup_command('STORE', 'COPY')}"
            )
        return problems
    finally:
        files.close()


def _examine(
    files: ReadOnlyFile, path: Path, steps: Sequence[str], problems: Callable[[Statements], list[str]]
) -> list[str]:
    with contextlib.closing(files.connect(path)) as connection:
        migrate(connection, path, steps, migrating=False)
        connection.execute("BEGIN")
        try:
            return problems(Statements(connection))
        except sqlite3.DatabaseError as error:
            return [f"the file is damaged: {error}"]


def copy_source(tx: Statements) -> str | None:
    """Of which store this one is the unfinished copy."""
    row = tx.row("copy_source")
    return row["source"] if row else None


def _page(tx: Statements, table: Table, after: Row | None, limit: int) -> list[Row]:
    key = ", ".join(table.key)
    test = f"WHERE ({key}) > ({_places(table.key)})" if after is not None else ""
    statement = f"SELECT {', '.join(table.columns)} FROM {table.name} {test} ORDER BY {key} LIMIT {limit}"  # noqa: S608 - as above
    rows: list[Row] = []
    size = 0
    for row in tx.connection.execute(statement, after or ()):
        rows.append(tuple(row))
        size += size_of(row)
        if page_is_full(rows, size, limit):
            break
    return rows


def _begin(tx: Transaction, source: str) -> None:
    if begins_anew(source, copy_source(tx), holds_runs=bool(tx.value("newest_seq"))):
        tx.execute("forget_schedules")
        tx.execute("forget_queues")
        tx.execute("begin_copy", (source,))


def _put(tx: Transaction, table: Table, rows: Sequence[Row]) -> None:
    if not table.is_log:
        tx.execute("advance_clock")
    more = _DEFAULTS.get(table.name, {})
    columns, places = ", ".join([*table.columns, *more]), ", ".join([_places(table.columns), *more.values()])
    key = ", ".join(table.key)
    statement = f"INSERT INTO {table.name} ({columns}) VALUES ({places}) ON CONFLICT ({key}) DO NOTHING"  # noqa: S608 - as above
    tx.connection.executemany(statement, rows)


def _end(tx: Transaction, numbers: Numbers) -> None:
    for name, number in (("runs", numbers.seq), ("attempts", numbers.fence)):
        tx.execute("forget_number", (name,))
        tx.execute("put_number", (name, number))
    tx.execute("end_copy")


def _problems(tx: Statements) -> list[str]:
    problems = _damage(tx)
    if not problems:
        problems += (
            f"a row of {row['table']} names a row of {row['parent']} that there is not"
            for row in tx.connection.execute("PRAGMA foreign_key_check")
        )
        problems += (row["problem"] for statement in _CHECKS for row in tx.connection.execute(statement))
    if source := copy_source(tx):
        problems.append(str(copy_is_unfinished(source)))
    return problems


def _damage(tx: Statements) -> list[str]:
    said = [row[0] for row in tx.connection.execute("PRAGMA integrity_check")]
    return [] if said == ["ok"] else [f"the file is damaged: {each}" for each in said]


def _places(columns: Sequence[str]) -> str:
    return ", ".join("?" * len(columns))
