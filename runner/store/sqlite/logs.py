"""Logs: a database of their own beside the store's, so that no flood of lines delays a claim.

Its commits do not wait for the disk: after a power cut the last lines may be missing, never more. A run's lines are
numbered from 1; the number is a follower's cursor. Logs of deleted runs go with them, or, if a crash came between, when
they are old.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from runner.domain.run import LogLine
from runner.store.records import LogPage, Notice
from runner.store.rows import log_page
from runner.store.sqlite.migrate import LOGS, connect_migrated
from runner.store.sqlite.readers import Readers
from runner.store.sqlite.writer import Transaction, Writer

_CACHE_BYTES = 16 << 20
_LINES_AT_ONCE = 2000
_LOGS_AT_ONCE = 200


class Logs:
    """The logs of all runs, in the file `path`."""

    def __init__(self, path: Path, tell: Callable[[Notice], None]) -> None:
        self.path = path
        self.writer = Writer(path, self._connect, tell)
        self.readers = Readers(path)
        self._migrates = True

    async def open(self, *, migrating: bool = True) -> None:
        """Open the file, making it where there is none; without `migrating` its schema must be the newest."""
        self._migrates = migrating
        await self.writer.start()
        self.readers.start()

    async def close(self) -> None:
        """Write what was accepted and close the file."""
        await self.readers.close()
        await self.writer.close()

    async def append(self, app: str, run: str, lines: Sequence[LogLine]) -> None:
        """Add lines to the end of a run's log."""
        if lines:
            await self.writer.run(lambda tx: _append(tx, app, run, lines))

    async def page(self, app: str, run: str, after: int, limit: int) -> LogPage:
        """Lines after the cursor `after`."""
        rows = await self.readers.run(lambda tx: tx.rows("lines_after", (app, run, after, limit)))
        return log_page(rows, after)

    async def delete(self, app: str, run: str) -> None:
        """Delete a run's log, in parts, so that others can write between them."""
        while await self.writer.run(lambda tx: _delete_part(tx, app, run)):
            pass

    async def prune(self, before: int) -> None:
        """Delete the logs whose last line is older."""
        while old := await self.readers.run(lambda tx: tx.rows("old_logs", (before, _LOGS_AT_ONCE))):
            await asyncio.gather(*(self.delete(row["app"], row["run"]) for row in old))

    def _connect(self) -> sqlite3.Connection:
        return connect_migrated(
            self.path, LOGS, migrating=self._migrates, synchronous="NORMAL", cache_bytes=_CACHE_BYTES
        )


def _append(tx: Transaction, app: str, run: str, lines: Sequence[LogLine]) -> None:
    number: int = tx.value("last_line", (app, run)) or 0
    tx.many(
        "insert_line",
        (
            (app, run, number + place, line.attempt, line.at, line.stream, line.level, line.text, line.continuation)
            for place, line in enumerate(lines, start=1)
        ),
    )
    last_at = max(line.at for line in lines)
    tx.execute("put_log", {"app": app, "run": run, "last_number": number + len(lines), "last_at": last_at})
    tx.logged.append(run)


def _delete_part(tx: Transaction, app: str, run: str) -> bool:
    if tx.execute("delete_lines", {"app": app, "run": run, "limit": _LINES_AT_ONCE}) == _LINES_AT_ONCE:
        return True
    tx.execute("delete_log", (app, run))
    return False
