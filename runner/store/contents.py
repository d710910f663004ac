"""What a store holds, row by row: for copying it whole into another one, and for checking it.

The tables named here have the same columns in every store; what a store derives from them (tags, lanes, totals) it
derives again as rows are put in. Tokens of attempts stay behind: an attempt that has ended needs none. A run's number
(`seq`, its age) and an attempt's (`fence`) are kept, and go on from where they were.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from runner.errors import ConflictError

#: The values of a row, in the order of `Table.columns`: int, float, str, bytes or `None`.
Row = tuple[Any, ...]
_RUN_COLUMNS = """
    seq app id task queue status ready priority reason why tags idempotency_key parameters_digest parent replay_of
    schedule retry timeout_s attempt_count failures losses children created_at due_at expires_at started_at finished_at
    cancel_requested_at scheduled_by root first_due_at delay_us
"""
_ATTEMPT_COLUMNS = """
    fence run number node started_at finished_at reason why error exit_code signal peak_memory_bytes cpu_time_s sandbox
    code
"""
_PAGE_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Table:
    """A table that every store has."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]  # what its rows are ordered by
    is_log: bool = False

    def key_of(self, row: Row) -> Row:
        """Where the page after this row goes on."""
        return tuple(row[self.columns.index(name)] for name in self.key)


def _table(name: str, columns: str, key: str, *, is_log: bool = False) -> Table:
    return Table(name, tuple(columns.split()), tuple(key.split()), is_log)


#: In an order in which no row names one that comes later.
TABLES = (
    _table("runs", _RUN_COLUMNS, "seq"),
    _table("run_parameters", "run parameters", "run"),
    _table("run_responses", "run result error progress", "run"),
    _table("attempts", _ATTEMPT_COLUMNS, "fence"),
    _table("queues", "app name concurrency strict interval_us rate paused_at opens_at", "app name"),
    _table("holders", "app queue slot run since", "app queue slot"),
    _table("schedules", "app name task rule next_at last_at last_run declared_at", "app name"),
    _table("tokens", "digest app name created_at", "digest"),
    _table("logs", "app run last_number last_at", "app run", is_log=True),
    _table("log_lines", "app run number attempt at stream level text continuation", "app run number", is_log=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The last number given to a run and to an attempt, 0 where there was none."""

    seq: int
    fence: int


class Contents(abc.ABC):
    """The rows of an open store that no runner uses."""

    @abc.abstractmethod
    async def count(self, table: Table) -> int:
        """How many rows it has."""

    @abc.abstractmethod
    async def page(self, table: Table, after: Row | None, limit: int) -> list[Row]:
        """Rows in the order of their keys, after the one with this key; fewer than `limit` once they hold 8 MB.

        An empty page is the end.
        """

    @abc.abstractmethod
    async def numbers(self) -> Numbers:
        """Which numbers were given."""

    @abc.abstractmethod
    async def begin_copy(self, source: str) -> None:
        """Become the copy of `source`; until `end_copy` no node can register, and runs may be put in as they are.

        Doing it again for the same source goes on with the copy.

        Raises:
            ConflictError: it holds runs already, or is the unfinished copy of another store.
        """

    @abc.abstractmethod
    async def put(self, table: Table, rows: Sequence[Row]) -> None:
        """Put rows in as they are, all or none; those whose keys are there already stay as they stand."""

    @abc.abstractmethod
    async def end_copy(self, numbers: Numbers) -> None:
        """The copy is whole: decide what goes next in each queue, and go on from these numbers."""

    @abc.abstractmethod
    async def check(self) -> list[str]:
        """What is wrong with it, a sentence each: its integrity, and whether what it counts is what it holds."""


def page_is_full(rows: Sequence[Row], size: int, limit: int) -> bool:
    """Whether a page of these rows, of `size` bytes, takes no more."""
    return len(rows) >= limit or size >= _PAGE_BYTES


def size_of(values: Iterable[Any]) -> int:
    """What a row weighs, in bytes or characters."""
    return sum(len(value) if isinstance(value, str | bytes) else 8 for value in values)


def begins_anew(source: str, earlier: str | None, *, holds_runs: bool) -> bool:
    """Whether a copy of `source` begins; one that goes on has `earlier` named the same store.

    Raises:
        ConflictError: as `Contents.begin_copy`.
    """
    if earlier is not None and earlier != source:
        raise ConflictError(f"it is the unfinished copy of {earlier}: finish that copy, or choose another place")
    if earlier is None and holds_runs:
        raise ConflictError("it holds runs already: a copy is made into a store without runs")
    return earlier is None
