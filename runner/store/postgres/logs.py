"""Logs: tables and connections of their own, so that no flood of lines delays a claim.

Their commits do not wait for the disk: after a crash of the database the last lines may be missing, never more. A run's
lines are numbered from 1; the number is a follower's cursor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from runner.domain.run import LogLine
from runner.store.postgres.database import Database, Transaction
from runner.store.records import LogPage
from runner.store.rows import log_page

_LINES_AT_ONCE = 2000
_LOGS_AT_ONCE = 200


async def append(database: Database, app: str, run: str, lines: Sequence[LogLine]) -> None:
    """Add lines to the end of a run's log."""
    if not lines:
        return
    batch, last_at = _batch(lines), max(line.at for line in lines)

    async def work(tx: Transaction) -> None:
        await tx.connection.execute("SET LOCAL synchronous_commit = off")
        last_number = await tx.value("extend_log", app, run, len(lines), last_at, batch)
        if last_number is None:
            return  # a try whose answer was lost has stored them, in this call or one before
        await tx.rows(
            "insert_lines",
            app,
            run,
            last_number - len(lines),
            [line.attempt for line in lines],
            [line.at for line in lines],
            [line.stream for line in lines],
            [line.level for line in lines],
            [line.text.encode() for line in lines],
            [line.continuation for line in lines],
        )
        tx.logged.append(run)

    await database.write(work)


def _batch(lines: Sequence[LogLine]) -> str:
    """The same for the same lines, and for no others that follow them: they have other instants."""
    said = "\n".join(f"{line.attempt} {line.at} {line.stream} {line.text}" for line in lines)
    return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()


async def page(tx: Transaction, app: str, run: str, after: int, limit: int) -> LogPage:
    """Lines after the cursor `after`."""
    return log_page(await tx.rows("lines_after", app, run, after, limit), after)


async def delete(database: Database, runs: Sequence[tuple[str, str]]) -> None:
    """Delete the logs of these runs, each an app and an id, in parts."""
    if not runs:
        return
    apps, ids = [app for app, _ in runs], [run for _, run in runs]
    for row in await database.read(lambda tx: tx.rows("logs_of", apps, ids)):
        key = (row["app"], row["run"])
        while len(await database.single("delete_lines", *key, _LINES_AT_ONCE)) == _LINES_AT_ONCE:
            pass
        await database.single("delete_log", *key)


async def prune(database: Database, before: int) -> None:
    """Delete the logs whose last line is older."""
    while old := await database.read(lambda tx: tx.rows("old_logs", before, _LOGS_AT_ONCE)):
        await delete(database, [(row["app"], row["run"]) for row in old])
