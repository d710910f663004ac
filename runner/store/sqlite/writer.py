"""The one thread that writes a database, and shares commits among its callers.

Callers hand in operations: functions from a `Transaction` to a result. The thread takes the first, begins a
transaction, and goes on with whatever was handed in meanwhile; then it commits once for all of them, which costs one
wait for the disk, and only then tells each caller. While it waits for the disk the next group gathers by itself, so
nothing is delayed on purpose: alone, an operation has a commit of its own; among many it shares one.

* An operation that raises takes back its own writes and nobody else's. Each runs inside its own savepoint, but for the
  first: a savepoint costs a copy of every page that is written, and to take the first back is to begin anew.
* A commit that fails, or an error that makes SQLite take back the whole transaction, fails every operation of the
  group: none of them was stored, and each caller is told so. The next group starts afresh.
* A caller that stops waiting changes nothing: what was handed in is done.
* Listeners are told after the commit and after the callers, on the event loop, once per group.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from runner.errors import StoreUnavailableError
from runner.store.records import Changes, Notice, notice_of
from runner.store.sqlite.file.connection import translated
from runner.store.sqlite.statements import Statements

Result = TypeVar("Result")
#: A group takes no new operation after this long, so that its first callers need not wait for a flood.
_GROUP_S = 0.02


class Transaction(Statements, Changes):
    """What an operation works on, and what to tell the listeners if it is committed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        Statements.__init__(self, connection)
        Changes.__init__(self)


@dataclass(slots=True, eq=False)
class _Operation:
    work: Callable[[Transaction], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None
    transaction: Transaction | None = None  # of an operation that succeeded

    def settle(self) -> None:
        if self.future.done():  # its caller stopped waiting
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Writer:
    """Owns the writing connection that `connect` gives, in a thread of its own."""

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection], tell: Callable[[Notice], None]) -> None:
        self._path = path
        self._connect = connect
        self._tell = tell
        self._inbox: SimpleQueue[_Operation | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._accepting = False
        #: Commits that wrote something.
        self.commits = 0

    async def start(self) -> None:
        """Open the connection; raises what opening raises."""
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._main, args=(opened,), name=f"write {self._path.name}")
        self._thread.start()
        try:
            await opened
        except BaseException:
            await self.close()
            raise
        self._accepting = True

    async def run(self, work: Callable[[Transaction], Result]) -> Result:
        """The result of `work`, once it is committed."""
        if not self._accepting:
            raise StoreUnavailableError(f"the store {self._path} is closed")
        future: asyncio.Future[Result] = self._loop.create_future()
        self._inbox.put(_Operation(work, future))
        return await future

    async def close(self) -> None:
        """Do what was handed in, then close the connection."""
        self._accepting = False
        thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(None)
            await asyncio.to_thread(thread.join)

    # --- in the thread ------------------------------------------------------------------------------------------

    def _main(self, opened: asyncio.Future[None]) -> None:
        try:
            connection = self._connect()
        except BaseException as error:
            self._on_loop(_settle_opening, opened, error)
            return
        self._on_loop(_settle_opening, opened, None)
        try:
            while self._serve_group(connection):
                pass
        finally:
            connection.close()

    def _serve_group(self, connection: sqlite3.Connection) -> bool:
        """Serve one group; returns whether to go on."""
        operation = self._inbox.get()
        if operation is None:
            return False
        group, more = [operation], True
        until = time.monotonic() + _GROUP_S
        before = connection.total_changes
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._perform_first(operation, connection)
            while time.monotonic() < until:
                try:
                    following = self._inbox.get_nowait()
                except Empty:
                    break
                if following is None:
                    more = False
                    break
                group.append(following)
                self._perform(following, connection)
            connection.execute("COMMIT")
            self.commits += connection.total_changes > before
        except Exception as error:
            self._lose(group, error, connection)
        self._on_loop(self._settle, group)
        return more

    def _perform_first(self, operation: _Operation, connection: sqlite3.Connection) -> None:
        if not self._succeeds(operation, connection):
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")

    def _perform(self, operation: _Operation, connection: sqlite3.Connection) -> None:
        connection.execute("SAVEPOINT operation")
        if not self._succeeds(operation, connection):
            connection.execute("ROLLBACK TO operation")
        connection.execute("RELEASE operation")

    def _succeeds(self, operation: _Operation, connection: sqlite3.Connection) -> bool:
        transaction = Transaction(connection)
        try:
            operation.result = operation.work(transaction)
        except Exception as error:
            if not connection.in_transaction:
                raise  # out of room or out of order, SQLite may take back everything by itself
            operation.error = self._meaning(error)
            return False
        operation.transaction = transaction
        return True

    def _lose(self, group: Iterable[_Operation], cause: Exception, connection: sqlite3.Connection) -> None:
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        for operation in group:
            if operation.error is None:
                operation.error = self._meaning(cause)
            operation.transaction = None

    def _meaning(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        meaning = translated(error, self._path)
        meaning.__cause__ = error
        return meaning

    def _on_loop(self, callback: Callable[..., None], *arguments: object) -> None:
        # The loop is gone when the program ends without closing the store; there is nobody left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    # --- on the loop --------------------------------------------------------------------------------------------

    def _settle(self, group: Sequence[_Operation]) -> None:
        for operation in group:
            operation.settle()
        done = [operation.transaction for operation in group if operation.transaction is not None]
        notice = notice_of(done)
        if notice != Notice():
            self._tell(notice)


def _settle_opening(opened: asyncio.Future[None], error: BaseException | None) -> None:
    if opened.done():
        return
    if error is None:
        opened.set_result(None)
    else:
        opened.set_exception(error)
