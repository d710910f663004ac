"""The way to PostgreSQL: a few connections, and work on them that is tried again when the fault may pass.

Work is a function on a `Transaction`. What it wrote is told to listeners once it is committed. When the connection is
lost, the server restarts, fails over, has no connection free, or makes this transaction give way to another, the work
is done again from its beginning, after a short and random wait, until the time for it is over. Whether the lost try was
committed cannot be known: `Transaction.repeated` says so, and the work finds out by what it wrote.

A connection that keeps silent for too long is cut, not asked again. Connections are opened as they are needed, so a
store that was unreachable for a day goes on by itself. Work goes on when its caller stops waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Literal, TypeVar

import asyncpg

from runner.backoff import pauses
from runner.errors import StoreUnavailableError
from runner.store.postgres.connections import USUAL, Connections, Timing
from runner.store.postgres.faults import described, is_passing, leaves_connection, translated
from runner.store.records import Changes, Notice, notice_of
from runner.store.sql_files import load_statements

Result = TypeVar("Result")
SQL: Final = load_statements("postgres")
_ROLLBACK_S = 2.0
_WAIT_S = (0.02, 1.0)
_CONNECTIONS = 8
#: A plan made while a table was small must not walk through it when it has grown.
_PLANS = "; SET LOCAL enable_seqscan = off; SET LOCAL jit = off"
_BEGIN = {
    "write": "BEGIN" + _PLANS,
    "read": "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY" + _PLANS,  # one snapshot for all statements
}


class Transaction(Changes):
    """What work is done on: a connection, and what to tell the listeners if it is committed."""

    def __init__(self, connection: Any, *, repeated: bool) -> None:
        super().__init__()
        self.connection = connection
        #: An earlier try was lost, and may have been committed.
        self.repeated = repeated

    async def rows(self, name: str, *values: object) -> list[asyncpg.Record]:
        """All rows of the statement of this name."""
        rows: list[asyncpg.Record] = await self.connection.fetch(SQL[name], *values)
        return rows

    async def row(self, name: str, *values: object) -> asyncpg.Record | None:
        """The first row."""
        rows = await self.rows(name, *values)
        return rows[0] if rows else None

    async def value(self, name: str, *values: object) -> Any:
        """The first column of the first row, `None` without rows."""
        row = await self.row(name, *values)
        return row[0] if row else None


Work = Callable[[Transaction], Awaitable[Result]]


class Database:
    """Connections to `url`; `is_pooled` where a pooler of transactions stands before the database."""

    def __init__(self, url: str, tell: Callable[[Notice], None], *, is_pooled: bool, timing: Timing = USUAL) -> None:
        self.url = url
        self._tell = tell
        self._is_pooled = is_pooled
        self._timing = timing
        self._connections = Connections(url, is_pooled=is_pooled, timing=timing)
        self._under_way: set[asyncio.Future[Any]] = set()
        self._is_open = False
        self._turns = asyncio.Semaphore(_CONNECTIONS)
        self._succeeded_at = 0.0

    def open(self) -> None:
        """Let work begin; nothing is connected before it is needed."""
        self._is_open = True

    async def settle(self) -> None:
        """Accept no more, and do what was handed in."""
        self._is_open = False
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def close(self) -> None:
        """Do what was handed in, then close the connections."""
        await self.settle()
        await self._connections.close()

    async def write(self, work: Work[Result], *, silence_s: float | None = None) -> Result:
        """The result of `work`, once it is committed; `silence_s` for work that may take long."""
        return await self.finish(self._try(work, "write", silence_s=silence_s))

    async def write_at_once(self, work: Work[Result]) -> Result:
        """As `write`, for work that writes with one statement only: then that is the transaction."""
        # Behind a pooler the parts of a statement may go different ways, unless a transaction holds them together.
        return await self.finish(self._try(work, "write" if self._is_pooled else None))

    async def read(self, work: Work[Result]) -> Result:
        """The result of `work`, within one snapshot of the database."""
        return await self.finish(self._try(work, "read"))

    async def single(self, name: str, *values: object) -> list[asyncpg.Record]:
        """The rows of one statement that may be done twice, in a transaction of its own."""
        return await self.finish(self._try(lambda tx: tx.rows(name, *values), None))

    async def single_last(self, name: str, *values: object, patience_s: float) -> list[asyncpg.Record]:
        """As `single`, and also once nothing more is accepted."""
        return await self._try(lambda tx: tx.rows(name, *values), None, patience_s=patience_s)

    async def finish(self, call: Coroutine[Any, Any, Result]) -> Result:
        """Do this to its end, also when the caller stops waiting; `close` waits for it."""
        if asyncio.current_task() in self._under_way:
            return await call  # part of what was handed in
        return await asyncio.shield(self.begin(call))

    def begin(self, call: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """As `finish`, without waiting for it."""
        try:
            self.check_open()
        except StoreUnavailableError:
            call.close()
            raise
        task = asyncio.get_running_loop().create_task(call)
        self._under_way.add(task)
        task.add_done_callback(self._settled)
        return task

    def check_open(self) -> None:
        """Raise where nothing more is accepted."""
        if not self._is_open:
            raise StoreUnavailableError(f"the store {described(self.url)} is closed")

    def _settled(self, task: asyncio.Future[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # seen, also where its caller is gone

    async def _try(
        self,
        work: Work[Result],
        kind: Literal["write", "read"] | None,
        *,
        patience_s: float | None = None,
        silence_s: float | None = None,
    ) -> Result:
        loop = asyncio.get_running_loop()
        patience_s = patience_s or self._timing.patience_s
        await self._take_turn(patience_s)
        try:
            until, retries, repeated = loop.time() + patience_s, pauses(*_WAIT_S), False
            while True:
                try:
                    async with asyncio.timeout(silence_s or self._timing.silence_s):
                        result, notice = await self._once(work, kind, repeated=repeated)
                except Exception as error:
                    wait_s = next(retries)
                    if not is_passing(error) or loop.time() + wait_s > until:
                        raise translated(error, self.url) from error
                else:
                    self._succeeded_at = loop.time()
                    if notice != Notice():
                        loop.call_soon(self._tell, notice)
                    return result
                await asyncio.sleep(wait_s)
                repeated = True
        finally:
            self._turns.release()

    async def _take_turn(self, patience_s: float) -> None:
        """A connection's worth of work; waits as long as others get theirs done, however many they are."""
        if not self._turns.locked():
            await self._turns.acquire()
            return
        turn = asyncio.ensure_future(self._turns.acquire())
        try:
            while not (await asyncio.wait((turn,), timeout=patience_s))[0]:
                self._check_progress(patience_s)
        except BaseException:
            if not turn.cancel():
                self._turns.release()
            raise

    def _check_progress(self, within_s: float) -> None:
        if self._succeeded_at < asyncio.get_running_loop().time() - within_s:
            raise StoreUnavailableError(f"the store {described(self.url)} does not answer")

    async def _once(
        self, work: Work[Result], kind: Literal["write", "read"] | None, *, repeated: bool
    ) -> tuple[Result, Notice]:
        connection = await self._connections.take()
        try:
            transaction = Transaction(connection, repeated=repeated)
            if kind is not None:
                await connection.execute(_BEGIN[kind])
            result = await work(transaction)
            if kind is not None:
                await connection.execute("COMMIT")
        except BaseException as error:
            await _take_back(connection, error)
            raise
        else:
            return result, notice_of([transaction])
        finally:
            self._connections.give_back(connection)


async def _take_back(connection: Any, error: BaseException) -> None:
    if leaves_connection(error):
        try:
            async with asyncio.timeout(_ROLLBACK_S):
                if connection.is_in_transaction():
                    await connection.execute("ROLLBACK")
        except Exception:
            connection.terminate()
    else:
        connection.terminate()
