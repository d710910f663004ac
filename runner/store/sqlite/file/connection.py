"""How a database file is opened, and what its errors mean to the runner.

The writer's connection waits for the disk at each commit (`synchronous=FULL`; the logs' only at checkpoints), and
keeps many pages in memory: while a reader holds an old snapshot the write-ahead log cannot be folded back and grows,
and looking a page up in it costs more than finding it in the cache.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Literal

from runner.errors import InvariantError, RunnerError, StoreFullError, StoreUnavailableError

_OLDEST_SQLITE = (3, 37)  # STRICT tables
_BUSY_S = 5.0  # for somebody's sqlite3 shell; nobody else writes
_CHECKPOINT_PAGES = 4000
_WAL_LIMIT_BYTES = 64 << 20
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)


def connect_writer(path: Path, *, synchronous: Literal["FULL", "NORMAL"], cache_bytes: int) -> sqlite3.Connection:
    """A connection that writes and checkpoints: the only one of its file.

    Raises:
        StoreUnavailableError: the path cannot be written, or is no database.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreUnavailableError(
            f"this Python has SQLite {sqlite3.sqlite_version}, and isolane needs 3.37: use a newer build of Python"
        )
    try:
        # Created by hand for its mode: parameters and results are nobody else's to read.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreUnavailableError(_unwritable(path, str(error.strerror))) from error
    connection = sqlite3.connect(
        path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    try:
        connection.row_factory = sqlite3.Row
        for pragma in (
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            "foreign_keys = ON",
            "temp_store = MEMORY",  # what a statement or a savepoint may have to take back
            f"cache_size = -{cache_bytes >> 10}",
            f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
            f"journal_size_limit = {_WAL_LIMIT_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except sqlite3.Error as error:
        connection.close()
        raise translated(error, path) from error
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads, and never checkpoints."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


def translated(error: sqlite3.Error, path: Path) -> RunnerError:
    """What an error of SQLite means."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code in _FULL:
        # A quota and a limit on file sizes look like a failed write.
        return StoreFullError(
            f"no room to write {path} ({error}); nothing was stored. Make room on its disk; nothing needs a restart"
        )
    if isinstance(error, sqlite3.IntegrityError):
        return InvariantError(f"the store refused what must not happen: {error}")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) or code & 0xFF == sqlite3.SQLITE_READONLY:
        return StoreUnavailableError(_unwritable(path, str(error)))
    if code == sqlite3.SQLITE_NOTADB:
        return StoreUnavailableError(
            f"{path} is no isolane database: name another file in [runner] store, or move it away"
        )
    return StoreUnavailableError(f"the store {path} failed: {error}")


def _unwritable(path: Path, why: str) -> str:
    return (
        f"the store {path} cannot be written: {why}. Give this user the right to write the file and its folder, "
        "or name another path in [runner] store"
    )
