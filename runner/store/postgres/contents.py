"""`Contents` of the database: its rows, as they are."""

# ruff: noqa: D102 - the contract documents its methods

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from runner.errors import ConflictError
from runner.store.contents import Contents, Numbers, Row, Table, begins_anew, page_is_full, size_of
from runner.store.parts import AT_ONCE
from runner.store.postgres.database import Database, Transaction
from runner.store.refusals import copy_is_unfinished
from runner.store.sql_files import load_statements

_CHECKS: Final = load_statements("checks")
_ROWS_AHEAD = 20
_FLAGS = {"queues": ("strict",), "log_lines": ("continuation",)}
# What the shared columns do not say, and these tables want.
_DEFAULTS = {"attempts": {"token": "''"}, "logs": {"last_batch": "''"}}


class PostgresContents(Contents):
    """What the database holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, table: Table) -> int:
        statement = f"SELECT count(*) FROM {table.name}"  # noqa: S608 - one of TABLES
        count: int = await self._database.read(lambda tx: tx.connection.fetchval(statement))
        return count

    async def page(self, table: Table, after: Row | None, limit: int) -> list[Row]:
        return await self._database.read(lambda tx: _page(tx, table, after, limit))

    async def numbers(self) -> Numbers:
        (row,) = await self._database.single("last_numbers")
        return Numbers(seq=row["seq"], fence=row["fence"])

    async def begin_copy(self, source: str) -> None:
        await self._database.write(lambda tx: _begin(tx, source))

    async def put(self, table: Table, rows: Sequence[Row]) -> None:
        for row in rows:
            _check_text(table, row)
        await self._database.write(lambda tx: _put(tx, table, rows))

    async def end_copy(self, numbers: Numbers) -> None:
        after = ("", "")
        while rows := await self._database.single("queues_in_order", *after, AT_ONCE):
            after = (rows[-1]["app"], rows[-1]["name"])
            await self._database.single("refresh_queues", [row["app"] for row in rows], [row["name"] for row in rows])
        await self._database.write(lambda tx: _end(tx, numbers))

    async def check(self) -> list[str]:
        return await self._database.read(_problems)


async def refuse_unfinished(tx: Transaction) -> None:
    """No node works in a store that is half a copy.

    Raises:
        StoreUnavailableError: it is one.
    """
    if source := await tx.value("copy_source"):
        raise copy_is_unfinished(source)


async def _page(tx: Transaction, table: Table, after: Row | None, limit: int) -> list[Row]:
    key = ", ".join(table.key)
    test = f"WHERE ({key}) > ({_places(table.key)})" if after is not None else ""
    statement = f"SELECT {_columns(table)} FROM {table.name} {test} ORDER BY {key} LIMIT {limit}"  # noqa: S608 - as above
    rows: list[Row] = []
    size = 0
    async for row in tx.connection.cursor(statement, *(after or ()), prefetch=_ROWS_AHEAD):
        rows.append(_shared(table, row))
        size += size_of(row)
        if page_is_full(rows, size, limit):
            break
    return rows


def _shared(table: Table, row: Sequence[Any]) -> Row:
    """A row as every store has it."""
    if table.name == "log_lines":
        row = _with(table, row, "text", bytes.decode)
    return tuple(int(value) if isinstance(value, bool) else value for value in row)


def _own(table: Table, row: Row) -> Row:
    """A row as it is here."""
    if table.name == "log_lines":
        row = _with(table, row, "text", str.encode)
    for name in _FLAGS.get(table.name, ()):
        row = _with(table, row, name, bool)
    return row


def _with(table: Table, row: Sequence[Any], name: str, make: Callable[[Any], Any]) -> Row:
    """The row with another value of that column: what `make` makes of it."""
    place = table.columns.index(name)
    return (*row[:place], make(row[place]), *row[place + 1 :])


def _check_text(table: Table, row: Row) -> None:
    for name, value in zip(table.columns, row, strict=True):
        if isinstance(value, str) and "\0" in value and not table.is_log:
            raise ConflictError(
                f"PostgreSQL cannot keep U+0000, which is in the {name} of a row of {table.name} "
                f"({', '.join(map(str, row[:3]))}): delete that run in the store it is in"
            )


async def _begin(tx: Transaction, source: str) -> None:
    if begins_anew(source, await tx.value("copy_source"), holds_runs=bool(await tx.value("newest_seq"))):
        await tx.rows("forget_schedules")
        await tx.rows("forget_queues")
        await tx.rows("begin_copy", source)


async def _put(tx: Transaction, table: Table, rows: Sequence[Row]) -> None:
    more = _DEFAULTS.get(table.name, {})
    columns, key = _columns(table), ", ".join(table.key)
    arriving = f"arriving_{table.name}"  # asyncpg remembers what columns a table of a name has
    await tx.connection.execute(
        f"CREATE TEMPORARY TABLE {arriving} ON COMMIT DROP AS SELECT {columns} FROM {table.name} LIMIT 0"  # noqa: S608 - as above
    )
    await tx.connection.copy_records_to_table(arriving, records=[_own(table, row) for row in rows])
    await tx.connection.execute(
        f"INSERT INTO {table.name} ({', '.join([columns, *more])}) OVERRIDING SYSTEM VALUE "  # noqa: S608 - as above
        f"SELECT {', '.join(['*', *more.values()])} FROM {arriving} ORDER BY {key} ON CONFLICT ({key}) DO NOTHING"
    )


async def _end(tx: Transaction, numbers: Numbers) -> None:
    await tx.rows("put_numbers", numbers.seq, numbers.fence)
    await tx.rows("end_copy")


async def _problems(tx: Transaction) -> list[str]:
    problems = [row["problem"] for statement in _CHECKS.values() for row in await tx.connection.fetch(statement)]
    if source := await tx.value("copy_source"):
        problems.append(str(copy_is_unfinished(source)))
    return problems


def _columns(table: Table) -> str:
    return ", ".join(table.columns)


def _places(columns: Sequence[str]) -> str:
    return ", ".join(f"${place}" for place in range(1, len(columns) + 1))
