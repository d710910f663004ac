"""The embedded store: SQLite in two files, one runner at a time.

This class only says which operation each method is, and through which door: what writes goes to the writer's thread,
where it shares a commit with its neighbours (`writer`), what reads goes to a reader's (`readers`). The operations
themselves are functions on a transaction, in `enqueueing`, `claiming`, `endings`, `queues`, `schedules`, `listing` and
`logs`.
"""

# ruff: noqa: D102 - the contract documents its methods

from __future__ import annotations

import asyncio
import builtins
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from runner.domain.options.run_filter import RunFilter
from runner.domain.run import Claim, Ending, LogLine, NewRun, QueueState, Run, RunDetail, Verdict
from runner.domain.status import Status
from runner.errors import StoreUnavailableError
from runner.store import storable_text
from runner.store.clock import machine_now
from runner.store.contents import Contents
from runner.store.contract import Lease, Store
from runner.store.file_turns import FileTurns
from runner.store.memory_turns import MemoryTurns
from runner.store.parts import AT_ONCE, do_in_parts
from runner.store.records import (
    Claims,
    Firing,
    LogPage,
    NodeInfo,
    NodeState,
    Notice,
    Page,
    Policy,
    Room,
    ScheduleState,
    TaskKey,
)
from runner.store.refusals import copy_is_unfinished, node_is_busy
from runner.store.rows import entries_of, schedule_of
from runner.store.sqlite import claiming, endings, enqueueing, listing, queues, schedules
from runner.store.sqlite.contents import SqliteContents, check, copy_source
from runner.store.sqlite.file.lock import FileLock
from runner.store.sqlite.logs import Logs
from runner.store.sqlite.migrate import STORE, connect_migrated
from runner.store.sqlite.nodes import MemoryLease, Nodes
from runner.store.sqlite.readers import Readers
from runner.store.sqlite.writer import Transaction, Writer

_CACHE_BYTES = 256 << 20  # at most; taken as pages are used


class SqliteStore(Store):
    """A store in the file `path`, with its logs beside it; both are made where there are none."""

    is_shared = False

    def __init__(self, path: Path, policy: Policy) -> None:
        self._path = path
        self._policy = policy
        self._lock = FileLock(path)
        self._listeners: list[Callable[[Notice], None]] = []
        self._writer = Writer(path, self._connect, self._tell)
        self._readers = Readers(path)
        self._logs = Logs(path.with_name(f"{path.stem}-logs.db"), self._tell)
        self._memory_turns = MemoryTurns()
        self._file_turns = FileTurns()
        self._nodes = Nodes()
        self._migrates = True
        self._no_logs: tempfile.TemporaryDirectory[str] | None = None  # where there are none, until it is closed

    # --- life ---------------------------------------------------------------------------------------------------

    async def open(self, *, as_it_is: bool = False) -> None:
        if as_it_is and not self._path.exists():
            raise StoreUnavailableError(f"there is no store at {self._path}")
        self._migrates = not as_it_is
        self._lock.acquire(to_copy=as_it_is)
        try:
            await self._writer.start()
            self._readers.start()
            if as_it_is and not self._logs.path.exists():  # a copy may come without, and nothing is made beside it
                self._no_logs = tempfile.TemporaryDirectory(prefix="isolane-")
                self._logs = Logs(Path(self._no_logs.name) / self._logs.path.name, self._tell)
            await self._logs.open(migrating=not as_it_is or self._no_logs is not None)
            if not as_it_is:
                await self._writer.run(lambda tx: queues.apply_rules(tx, self._policy))
        except BaseException:
            await self.close()
            raise

    async def migrate(self) -> None:
        self._migrates = True
        self._lock.acquire()
        try:
            await self._writer.start()
            await self._logs.open()
        finally:
            await self.close()

    async def check(self) -> list[str]:
        return await asyncio.to_thread(check, self._path, self._logs.path)

    def contents(self) -> Contents:
        return SqliteContents(self._writer, self._readers, self._logs)

    async def close(self) -> None:
        await self._readers.close()
        await self._writer.close()
        await self._logs.close()
        if self._no_logs is not None:
            self._no_logs.cleanup()
        self._lock.release()

    def listen(self, callback: Callable[[Notice], None]) -> Callable[[], None]:
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def now(self) -> int:
        return machine_now()

    # --- nodes --------------------------------------------------------------------------------------------------

    async def register(self, node: NodeInfo) -> None:
        if source := await self._readers.run(copy_source):
            raise copy_is_unfinished(source)
        self._nodes.register(node)

    def lease(self, node: str, *, within_s: float) -> Lease:  # noqa: ARG002 - memory never keeps anybody waiting
        return MemoryLease(self._nodes, node)

    async def nodes(self) -> list[NodeState]:
        return self._nodes.states(await self._running())

    async def bury(self, node: str, beat: int) -> list[Claim] | None:
        return await self.orphans(node) if self._nodes.bury(node, beat) else None

    async def leave(self, node: str) -> None:
        running = (await self._running()).get(node)
        if running:
            raise node_is_busy(node, running)
        self._nodes.leave(node)

    async def drain_node(self, name: str, *, draining: bool = True) -> int:
        storable_text.check_node(name)
        # After the claims that are under way.
        return await self._writer.run(lambda _: self._nodes.drain(name, draining=draining))

    # --- scheduling ---------------------------------------------------------------------------------------------

    async def enqueue(self, runs: Sequence[NewRun]) -> list[Run]:
        entries = entries_of(runs)
        return await self._writer.run(lambda tx: enqueueing.insert(tx, entries, self._policy))

    async def claim(self, node: str, room: Room, now: int) -> Claims:
        def work(tx: Transaction) -> Claims:
            self._nodes.check_alive(node)
            return self._claim(tx, node, room, now)

        return await self._writer.run(work)

    async def finish(
        self,
        claim: Claim,
        ending: Ending,
        verdict: Verdict,
        children: Sequence[NewRun] = (),
    ) -> Run:
        entries = entries_of(children)
        return await self._writer.run(
            lambda tx: endings.finish(tx, claim, ending, verdict, children=entries, policy=self._policy)
        )

    async def finish_and_claim(
        self, claim: Claim, ending: Ending, verdict: Verdict, *, node: str, room: Room, now: int
    ) -> tuple[Run, Claims]:
        def work(tx: Transaction) -> tuple[Run, Claims]:
            run = endings.finish(tx, claim, ending, verdict, children=(), policy=self._policy)
            return run, self._claim(tx, node, room, now)

        return await self._writer.run(work)

    async def orphans(self, node: str | None = None) -> list[Claim]:
        return await self._writer.run(lambda tx: claiming.orphans(tx, node))

    async def progress(self, claim: Claim, progress: str) -> None:
        await self._writer.run(lambda tx: endings.progress(tx, claim, progress))

    async def set_back(self, now: int) -> None:
        await self._writer.run(lambda tx: claiming.wait_anew(tx, now))

    # --- operating ----------------------------------------------------------------------------------------------

    async def cancel(self, app: str, run: str, now: int) -> Run:
        storable_text.check_run(app, run)
        return await self._writer.run(lambda tx: endings.cancel(tx, app, run, now))

    async def delete(self, app: str, run: str) -> None:
        storable_text.check_run(app, run)
        await self._writer.run(lambda tx: endings.delete(tx, app, run, machine_now()))
        await self._logs.delete(app, run)

    async def pause(self, app: str, queue: str, now: int) -> QueueState:
        storable_text.check_name(queue, "queue")
        return await self._writer.run(lambda tx: queues.pause(tx, self._policy, app, queue, now))

    async def resume(self, app: str, queue: str) -> QueueState:
        storable_text.check_name(queue, "queue")
        return await self._writer.run(lambda tx: queues.resume(tx, self._policy, app, queue))

    async def purge(self, app: str, queue: str, now: int) -> int:
        storable_text.check_name(queue, "queue")
        newest: int = await self._writer.run(lambda tx: tx.value("newest_seq") or 0)

        async def purge(limit: int) -> int:
            return await self._writer.run(lambda tx: endings.purge(tx, app, queue, now=now, newest=newest, limit=limit))

        return await do_in_parts(purge)

    async def release(self, app: str, queue: str) -> int:
        storable_text.check_name(queue, "queue")
        return await self._writer.run(lambda tx: queues.release(tx, app, queue))

    async def announce(self, needs: Mapping[TaskKey, int]) -> None:
        wanted = frozenset(needs)
        while not await self._writer.run(lambda tx: queues.announce(tx, wanted, AT_ONCE)):
            pass

    async def prune(self, *, finished_before: int, logs_before: int, limit: int = 1000) -> int:
        async def prune(limit: int) -> int:
            gone = await self._writer.run(lambda tx: endings.prune(tx, finished_before, limit))
            await asyncio.gather(*(self._logs.delete(app, run) for app, run in gone))
            return len(gone)

        pruned = await do_in_parts(prune, most=limit)
        await self._logs.prune(logs_before)
        self._nodes.forget_buried(finished_before, await self._running())
        return pruned

    # --- reading ------------------------------------------------------------------------------------------------

    async def get(self, app: str, run: str) -> RunDetail:
        storable_text.check_run(app, run)
        return await self._readers.run(lambda tx: listing.detail(tx, app, run))

    async def list(self, wanted: RunFilter) -> Page[RunDetail]:
        if not storable_text.can_match(wanted):
            return Page(items=(), next_cursor=None)
        return await self._readers.run(lambda tx: listing.page(tx, wanted))

    async def count(self, app: str) -> Mapping[Status, int]:
        return await self._readers.run(lambda tx: listing.totals(tx, app))

    async def named_queues(self, app: str, names: Collection[str]) -> Mapping[str, QueueState]:
        for name in names:
            storable_text.check_name(name, "queue")
        return await self._readers.run(lambda tx: {name: queues.state(tx, self._policy, app, name) for name in names})

    async def queues(self, app: str, cursor: str | None = None, limit: int = 100) -> Page[QueueState]:
        return await self._readers.run(lambda tx: listing.queues(tx, self._policy, app, cursor, limit))

    async def ancestors(self, app: str, run: str) -> builtins.list[Run]:
        storable_text.check_run(app, run)
        return await self._readers.run(lambda tx: listing.ancestors(tx, app, run))

    # --- logs ---------------------------------------------------------------------------------------------------

    async def append_logs(self, app: str, run: str, lines: Sequence[LogLine]) -> None:
        await self._logs.append(app, run, lines)

    async def logs(self, app: str, run: str, after: int = 0, limit: int = 1000) -> LogPage:
        if not storable_text.is_kept(run):
            return LogPage(lines=(), cursor=after)
        return await self._logs.page(app, run, after, limit)

    # --- schedules ----------------------------------------------------------------------------------------------

    async def schedules(self, app: str | None = None) -> builtins.list[ScheduleState]:
        rows = await self._readers.run(lambda tx: tx.rows("all_schedules", {"app": app}))
        return [schedule_of(row) for row in rows]

    async def schedule(self, app: str, name: str) -> ScheduleState | None:
        values = {"app": app, "name": name}
        row = await self._readers.run(lambda tx: tx.row("one_schedule", values))
        return None if row is None else schedule_of(row)

    async def put_schedules(self, declared: Sequence[ScheduleState], now: int) -> None:
        await self._writer.run(lambda tx: schedules.put(tx, declared, now, silent_us=schedules.AT_ONCE))

    async def keep_schedules(
        self, declared: Sequence[ScheduleState], now: int, *, silent_us: int, forgotten_us: int
    ) -> None:
        await self._writer.run(
            lambda tx: schedules.keep(tx, declared, now, silent_us=silent_us, forgotten_us=forgotten_us)
        )

    async def fire(self, firing: Firing) -> Run | None:
        return await self._writer.run(lambda tx: schedules.fire(tx, firing, self._policy))

    async def reschedule(self, app: str, name: str, *, seen: int, next_at: int) -> None:
        values = {"app": app, "name": name, "seen": seen, "next_at": next_at}
        await self._writer.run(lambda tx: tx.execute("reschedule", values))

    # --- tokens -------------------------------------------------------------------------------------------------

    async def put_token(self, digest: bytes, app: str, name: str, now: int) -> None:
        values = {"digest": digest, "app": app, "name": name, "now": now}
        await self._writer.run(lambda tx: tx.execute("put_token", values))

    async def token_app(self, digest: bytes) -> str | None:
        row = await self._readers.run(lambda tx: tx.row("token_app", (digest,)))
        return row["app"] if row else None

    # --- inside -------------------------------------------------------------------------------------------------

    def _claim(self, tx: Transaction, node: str, room: Room, now: int) -> Claims:
        if not self._nodes.may_claim(node):
            return Claims(claims=(), wake_at=None)
        return claiming.claim(tx, node, room, now, self._memory_turns, file_turns=self._file_turns)

    async def _running(self) -> dict[str, int]:
        """Live attempts, by node."""
        rows = await self._readers.run(lambda tx: tx.rows("running_by_node"))
        return {row["node"]: row["runs"] for row in rows}

    def _connect(self) -> sqlite3.Connection:
        return connect_migrated(
            self._path, STORE, migrating=self._migrates, synchronous="FULL", cache_bytes=_CACHE_BYTES
        )

    def _tell(self, notice: Notice) -> None:
        for listener in tuple(self._listeners):
            listener(notice)
