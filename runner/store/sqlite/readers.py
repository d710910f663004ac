"""Reading beside the writer: each read sees one moment of the database, and nobody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from runner.errors import StoreUnavailableError
from runner.store.sqlite.file.connection import connect_reader, translated
from runner.store.sqlite.statements import Statements

Result = TypeVar("Result")
_READERS = 4


class Readers:
    """A few threads, each read with a read-only connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads: ThreadPoolExecutor | None = None
        self._idle: list[sqlite3.Connection] = []

    def start(self) -> None:
        """Let reads begin; connections are opened as they are needed."""
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix=f"read {self._path.name}")

    async def run(self, read: Callable[[Statements], Result]) -> Result:
        """The result of `read`, within one snapshot of the database."""
        if self._threads is None:
            raise StoreUnavailableError(f"the store {self._path} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, read)

    async def close(self) -> None:
        """Finish the reads under way and close the connections."""
        threads, self._threads = self._threads, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
        while self._idle:
            self._idle.pop().close()

    def _read(self, read: Callable[[Statements], Result]) -> Result:
        try:
            connection = self._idle.pop() if self._idle else connect_reader(self._path)
        except sqlite3.Error as error:
            raise translated(error, self._path) from error
        try:
            connection.execute("BEGIN")
            return read(Statements(connection))
        except sqlite3.Error as error:
            raise translated(error, self._path) from error
        finally:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self._idle.append(connection)
