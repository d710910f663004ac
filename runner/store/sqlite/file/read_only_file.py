"""A database file that is only looked at: nothing is written into it, nor beside it.

SQLite writes beside a file in WAL mode even to read it. So one that a runner has open is read through what that runner
keeps beside it; one that was closed in good order is read as a file that nobody changes; and one whose last changes
still stand in a file of their own (a runner was killed, or both were copied) is copied aside first.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import IO

from runner.errors import StoreUnavailableError


class ReadOnlyFile:
    """A file, from `open` to `close`. No runner takes it into use meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._copies: tempfile.TemporaryDirectory[str] | None = None
        self._lock: IO[str] | None = None
        self._is_used = False

    def open(self) -> None:
        """Find out whether a runner has it open, and hold that off where none has.

        Raises:
            StoreUnavailableError: there is no such file.
        """
        if not self._path.exists():
            raise StoreUnavailableError(f"there is no store at {self._path}")
        with contextlib.suppress(OSError):  # a copy has no lock, and nobody who would take it
            self._lock = self._path.with_name(f"{self._path.name}.lock").open()
        if self._lock is not None:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                self._is_used = True

    @property
    def has_lock(self) -> bool:
        """Whether there is the lock of a runner's own store beside it; a copy has none."""
        return self._lock is not None

    def connect(self, path: Path) -> sqlite3.Connection:
        """A connection that reads the file, or one that lies beside it.

        Raises:
            StoreUnavailableError: it cannot be read.
        """
        log = path.with_name(f"{path.name}-wal")
        try:
            if self._is_used:
                uri = f"{path.absolute().as_uri()}?mode=ro"
            elif not log.exists() or not log.stat().st_size:
                uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
            else:
                uri = self._aside(path, log).as_uri()
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            connection.execute("SELECT 1 FROM sqlite_master").fetchall()
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailableError(f"the store {path} cannot be read: {error}") from error
        return connection

    def close(self) -> None:
        """Let others have it, and remove what was copied. Closing twice is fine."""
        if self._lock is not None:
            self._lock.close()
        if self._copies is not None:
            self._copies.cleanup()
        self._lock = self._copies = None

    def _aside(self, path: Path, log: Path) -> Path:
        if self._copies is None:
            self._copies = tempfile.TemporaryDirectory(prefix="isolane-")
        copy = Path(self._copies.name) / path.name
        if not copy.exists():
            for source in (path, log):
                shutil.copyfile(source, copy.with_name(source.name))
        return copy
