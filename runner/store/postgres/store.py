"""The store of many nodes: which operation each method is."""

# ruff: noqa: D102 - the contract documents its methods

from __future__ import annotations

import builtins
from collections.abc import Callable, Collection, Mapping, Sequence

from runner.domain.options.run_filter import RunFilter
from runner.domain.run import Claim, Ending, LogLine, NewRun, QueueState, Run, RunDetail, Verdict
from runner.domain.status import Status
from runner.store import storable_text
from runner.store.clock import DatabaseClock, boot_us
from runner.store.contents import Contents
from runner.store.contract import Lease, Store
from runner.store.file_turns import FileTurns
from runner.store.memory_turns import MemoryTurns
from runner.store.parts import do_in_parts
from runner.store.postgres import claiming, endings, listing, logs, nodes, queues, schedules
from runner.store.postgres.connections import USUAL, Timing
from runner.store.postgres.contents import PostgresContents
from runner.store.postgres.database import Database
from runner.store.postgres.enqueueing import Enqueuer
from runner.store.postgres.migrate import migrate
from runner.store.postgres.nodes import ConnectionLease
from runner.store.postgres.notices import Notices
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
from runner.store.rows import entries_of, node_of, schedule_of


class PostgresStore(Store):
    """A store in the database that `url` names; its tables are made where there are none.

    `listen_url` is a direct way to the same database, for where `url` leads through a pooler of transactions.
    """

    def __init__(self, url: str, policy: Policy, *, listen_url: str | None = None, timing: Timing = USUAL) -> None:
        self._url = url
        self._policy = policy
        self._is_pooled = listen_url is not None
        self._clock = DatabaseClock()
        self._notices = Notices(listen_url or url, self._clock, timing)
        self._database = Database(url, self._notices.tell, is_pooled=self._is_pooled, timing=timing)
        self._logs = Database(url, self._notices.tell, is_pooled=self._is_pooled, timing=timing)
        self._enqueuer = Enqueuer(self._database, policy)
        self._memory_turns = MemoryTurns()
        self._file_turns = FileTurns()
        self._node = ""

    # --- life ---------------------------------------------------------------------------------------------------

    async def open(self, *, as_it_is: bool = False) -> None:
        try:
            self._database.open()
            self._logs.open()
            await migrate(self._database, migrating=not as_it_is)
            asked_at = boot_us()
            self._clock.saw((await self._database.single("database_now"))[0][0], asked_at=asked_at)
            if not as_it_is:
                await queues.apply_rules(self._database, self._policy)
                await self._notices.start(self._database)
        except BaseException:
            await self.close()
            raise

    async def migrate(self) -> None:
        try:
            self._database.open()
            await migrate(self._database)
        finally:
            await self.close()

    async def check(self) -> list[str]:
        await self.open(as_it_is=True)
        try:
            return await self.contents().check()
        finally:
            await self.close()

    def contents(self) -> Contents:
        return PostgresContents(self._database)

    async def close(self) -> None:
        await self._database.settle()
        await self._notices.close(self._database)
        await self._database.close()
        await self._logs.close()

    def listen(self, callback: Callable[[Notice], None]) -> Callable[[], None]:
        return self._notices.listen(callback)

    def now(self) -> int:
        return self._clock.now()

    # --- nodes --------------------------------------------------------------------------------------------------

    async def register(self, node: NodeInfo) -> None:
        await self._database.write(lambda tx: nodes.register(tx, node))
        self._node = self._notices.node = node.id

    def lease(self, node: str, *, within_s: float) -> Lease:
        return ConnectionLease(self._url, node, within_s=within_s, is_pooled=self._is_pooled)

    async def nodes(self) -> list[NodeState]:
        return list(map(node_of, await self._database.single("all_nodes")))

    async def bury(self, node: str, beat: int) -> list[Claim] | None:
        return await self._database.write(lambda tx: nodes.bury(tx, node, beat))

    async def leave(self, node: str) -> None:
        await self._database.write(lambda tx: nodes.leave(tx, node))

    async def drain_node(self, name: str, *, draining: bool = True) -> int:
        storable_text.check_node(name)
        return await self._database.write(lambda tx: nodes.drain(tx, name, draining=draining))

    # --- scheduling ---------------------------------------------------------------------------------------------

    async def enqueue(self, runs: Sequence[NewRun]) -> list[Run]:
        return await self._enqueuer.enqueue(entries_of(runs))

    async def claim(self, node: str, room: Room, now: int) -> Claims:
        return await self._database.finish(
            claiming.claim(self._database, node, room, now, self._memory_turns, file_turns=self._file_turns)
        )

    async def finish(
        self,
        claim: Claim,
        ending: Ending,
        verdict: Verdict,
        children: Sequence[NewRun] = (),
    ) -> Run:
        entries = entries_of(children)
        write = self._database.write if entries else self._database.write_at_once
        return await write(lambda tx: endings.finish(tx, claim, ending, verdict, children=entries, policy=self._policy))

    async def finish_and_claim(
        self, claim: Claim, ending: Ending, verdict: Verdict, *, node: str, room: Room, now: int
    ) -> tuple[Run, Claims]:
        asking = claiming.Asking(node, room, now, self._memory_turns, file_turns=self._file_turns)
        run, answer = await self._database.write_at_once(
            lambda tx: endings.finish_and_claim(tx, claim, ending, verdict, asking)
        )
        return run, asking.answered(answer)

    async def orphans(self, node: str | None = None) -> list[Claim]:
        return await claiming.orphans(self._database, node)

    async def progress(self, claim: Claim, progress: str) -> None:
        await self._database.write(lambda tx: endings.progress(tx, claim, progress))

    async def set_back(self, now: int) -> None:
        await claiming.wait_anew(self._database, now)

    # --- operating ----------------------------------------------------------------------------------------------

    async def cancel(self, app: str, run: str, now: int) -> Run:
        storable_text.check_run(app, run)
        return await self._database.write(lambda tx: endings.cancel(tx, app, run, now))

    async def delete(self, app: str, run: str) -> None:
        storable_text.check_run(app, run)
        await self._database.write(lambda tx: endings.delete(tx, app, run, self.now()))
        await logs.delete(self._logs, [(app, run)])

    async def pause(self, app: str, queue: str, now: int) -> QueueState:
        storable_text.check_name(queue, "queue")
        return await self._database.write(lambda tx: queues.pause(tx, self._policy, app, queue, now))

    async def resume(self, app: str, queue: str) -> QueueState:
        storable_text.check_name(queue, "queue")
        return await self._database.write(lambda tx: queues.resume(tx, self._policy, app, queue))

    async def purge(self, app: str, queue: str, now: int) -> int:
        storable_text.check_name(queue, "queue")
        newest: int = (await self._database.single("newest_seq"))[0][0]

        async def purge(limit: int) -> int:
            return await self._database.write(
                lambda tx: endings.purge(tx, app, queue, now=now, newest=newest, limit=limit)
            )

        return await do_in_parts(purge)

    async def release(self, app: str, queue: str) -> int:
        storable_text.check_name(queue, "queue")
        return await self._database.write(lambda tx: queues.release(tx, app, queue))

    async def announce(self, needs: Mapping[TaskKey, int]) -> None:
        await queues.announce(self._database, self._node, needs)

    async def prune(self, *, finished_before: int, logs_before: int, limit: int = 1000) -> int:
        async def prune(limit: int) -> int:
            gone = await self._database.write(lambda tx: endings.prune(tx, finished_before, limit))
            await logs.delete(self._logs, gone)
            return len(gone)

        pruned = await do_in_parts(prune, most=limit)
        await logs.prune(self._logs, logs_before)
        await self._database.single("forget_buried", finished_before)
        return pruned

    # --- reading ------------------------------------------------------------------------------------------------

    async def get(self, app: str, run: str) -> RunDetail:
        storable_text.check_run(app, run)
        return await self._database.read(lambda tx: listing.detail(tx, app, run))

    async def list(self, wanted: RunFilter) -> Page[RunDetail]:
        if not storable_text.can_match(wanted):
            return Page(items=(), next_cursor=None)
        return await self._database.read(lambda tx: listing.page(tx, wanted))

    async def count(self, app: str) -> Mapping[Status, int]:
        rows = await self._database.single("totals_of_app", app)
        return {Status(row["status"]): row["runs"] for row in rows}

    async def named_queues(self, app: str, names: Collection[str]) -> Mapping[str, QueueState]:
        for name in names:
            storable_text.check_name(name, "queue")
        return await self._database.read(lambda tx: queues.states(tx, self._policy, app, names))

    async def queues(self, app: str, cursor: str | None = None, limit: int = 100) -> Page[QueueState]:
        return await self._database.read(lambda tx: listing.queues(tx, self._policy, app, cursor, limit))

    async def ancestors(self, app: str, run: str) -> builtins.list[Run]:
        storable_text.check_run(app, run)
        return await self._database.read(lambda tx: listing.ancestors(tx, app, run))

    # --- logs ---------------------------------------------------------------------------------------------------

    async def append_logs(self, app: str, run: str, lines: Sequence[LogLine]) -> None:
        await logs.append(self._logs, app, run, lines)

    async def logs(self, app: str, run: str, after: int = 0, limit: int = 1000) -> LogPage:
        if not storable_text.is_kept(run):
            return LogPage(lines=(), cursor=after)
        return await self._logs.read(lambda tx: logs.page(tx, app, run, after, limit))

    # --- schedules ----------------------------------------------------------------------------------------------

    async def schedules(self, app: str | None = None) -> builtins.list[ScheduleState]:
        return list(map(schedule_of, await self._database.single("all_schedules", app)))

    async def schedule(self, app: str, name: str) -> ScheduleState | None:
        rows = await self._database.single("one_schedule", app, name)
        return schedule_of(rows[0]) if rows else None

    async def put_schedules(self, declared: Sequence[ScheduleState], now: int) -> None:
        await self._database.write(lambda tx: schedules.put(tx, declared, now, silent_us=schedules.AT_ONCE))

    async def keep_schedules(
        self, declared: Sequence[ScheduleState], now: int, *, silent_us: int, forgotten_us: int
    ) -> None:
        await self._database.write(
            lambda tx: schedules.keep(tx, declared, now, silent_us=silent_us, forgotten_us=forgotten_us)
        )

    async def fire(self, firing: Firing) -> Run | None:
        return await self._database.write(lambda tx: schedules.fire(tx, firing, self._policy))

    async def reschedule(self, app: str, name: str, *, seen: int, next_at: int) -> None:
        await self._database.single("reschedule", app, name, seen, next_at)

    # --- tokens -------------------------------------------------------------------------------------------------

    async def put_token(self, digest: bytes, app: str, name: str, now: int) -> None:
        await self._database.single("put_token", digest, app, name, now)

    async def token_app(self, digest: bytes) -> str | None:
        rows = await self._database.single("token_app", digest)
        return rows[0]["app"] if rows else None
