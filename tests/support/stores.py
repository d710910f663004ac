"""Stores for tests: a registry of implementations, and a desk that talks to one in few words."""

from __future__ import annotations

import contextlib
import itertools
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from runner.domain.options.queue_rule import QueueRule
from runner.domain.run import Claim, Ending, NewRun, Run, RunDetail, Verdict
from runner.domain.status import Reason, Status
from runner.store import open_store
from runner.store.contract import Store
from runner.store.postgres.connections import USUAL, Timing
from runner.store.postgres.store import PostgresStore
from runner.store.records import Claims, NodeInfo, Notice, Policy, Room, StoreLimits, TaskKey
from support.postgres import Shell, create_database, drop_database, shared_server

SECOND = 1_000_000
#: When tests begin.
START = 1_700_000_000 * SECOND
_ids = itertools.count(1)


class SqliteBackend:
    """Makes SQLite stores in one file, and reaches around them."""

    #: What the database says to what its constraints do not allow.
    Refused = sqlite3.IntegrityError
    #: Of which lanes the waiting runs are counted.
    LANES_COUNTED = "TRUE"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "store.db"

    def store(self, rules: Mapping[str, QueueRule] | None = None, limits: StoreLimits | None = None) -> Store:
        return _opened(f"sqlite:{self.path.name}", self.folder, rules, limits)

    def sql(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run a statement past the store, with the constraints of the database and none of Python's."""
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            return connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def pinned_snapshot(self) -> Iterator[None]:
        """A reader that keeps looking at the database as it is now."""
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM queues").fetchall()
            yield

    def remove(self) -> None:
        """Its folder goes with the test."""


class PostgresBackend:
    """Makes PostgreSQL stores in one database of the tests' server, and reaches around them."""

    #: What the database says to what its constraints do not allow.
    Refused = asyncpg.IntegrityConstraintViolationError
    LANES_COUNTED = "queue <> ''"

    def __init__(self, folder: Path) -> None:
        self.server = shared_server()
        self.url = create_database(self.server)
        self._shell: Shell | None = None

    def store(self, rules: Mapping[str, QueueRule] | None = None, limits: StoreLimits | None = None) -> Store:
        return _opened(self.url, Path(), rules, limits)

    def sql(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run a statement past the store, with the constraints of the database and none of Python's."""
        places = itertools.count(1)
        self._shell = self._shell or Shell(self.url)
        return self._shell.sql(re.sub(r"\?", lambda _: f"${next(places)}", statement), *values)

    @contextlib.contextmanager
    def pinned_snapshot(self) -> Iterator[None]:
        """Nothing: an old snapshot keeps every dead row (runner/store/postgres/README.md says what to do)."""
        yield

    def remove(self) -> None:
        if self._shell is not None:
            self._shell.close()
        drop_database(self.server, self.url)


def open_postgres(url: str, listen_url: str | None = None, timing: Timing = USUAL) -> Store:
    """A store at a database, not open yet."""
    policy = Policy(lambda _app, _queue: QueueRule(), StoreLimits())
    return PostgresStore(url, policy, listen_url=listen_url, timing=timing)


def _opened(url: str, folder: Path, rules: Mapping[str, QueueRule] | None, limits: StoreLimits | None) -> Store:
    known = dict(rules or {})
    return open_store(
        url,
        project=folder,
        limits=limits or StoreLimits(),
        queue_rule=lambda app, queue: known.get(queue, QueueRule()),
    )


#: Every implementation passes the same tests.
BACKENDS = {"sqlite": SqliteBackend, "postgres": PostgresBackend}


def new_run(**options: Any) -> NewRun:
    number = next(_ids)
    values = {
        "app": "main",
        "id": f"run-{number:06d}",
        "task": "a",
        "parameters": "{}",
        "created_at": START,
        "due_at": START,
    }
    return NewRun(**{**values, **options})


def node_info(node: str = "node", **options: Any) -> NodeInfo:
    values = {
        "name": f"name of {node}",
        "lease_s": 15.0,
        "capacity": 4,
        "memory_bytes": 1 << 30,
        "version": "0.1.0",
        "sandbox": "full",
    }
    return NodeInfo(id=node, **{**values, **options})


@dataclass
class Desk:
    """A store, the tasks that can be run, and a clock that only tests move."""

    store: Store
    needs: dict[TaskKey, int]
    now: int = START
    memory: int = 1000
    notices: list[Notice] = field(default_factory=list)

    async def enqueue(self, **options: Any) -> Run:
        (run,) = await self.store.enqueue([new_run(**{"created_at": self.now, "due_at": self.now, **options})])
        return run

    async def claims(self, slots: int = 1, *, node: str = "node", **room: Any) -> Claims:
        return await self.store.claim(node, self.room(slots, **room), self.now)

    def room(self, slots: int = 1, *, memory: int | None = None, **room: Any) -> Room:
        room = {"memory_bytes": self.memory if memory is None else memory, "memory_total_bytes": self.memory, **room}
        return Room(slots=slots, **{"needs": self.needs, **room})

    async def claim(self, slots: int = 1, **room: Any) -> list[Claim]:
        return list((await self.claims(slots, **room)).claims)

    async def claim_one(self) -> Claim:
        (claim,) = await self.claim()
        return claim

    async def end(
        self, claim: Claim, status: Status = Status.SUCCEEDED, reason: Reason | None = None, **more: Any
    ) -> Run:
        children = more.pop("children", ())
        return await self.store.finish(claim, *self._conclusion(claim, status, reason, **more), children)

    async def end_and_claim(
        self, claim: Claim, status: Status = Status.SUCCEEDED, slots: int = 1, *, node: str = "node", **more: Any
    ) -> tuple[Run, list[Claim]]:
        room = {"files": more.pop("files")} if "files" in more else {}
        ending, verdict = self._conclusion(claim, status, **more)
        ended, claims = await self.store.finish_and_claim(
            claim, ending, verdict, node=node, room=self.room(slots, **room), now=self.now
        )
        return ended, list(claims.claims)

    def _conclusion(
        self, claim: Claim, status: Status, reason: Reason | None = None, *, due_in_s: float = 0, **more: Any
    ) -> tuple[Ending, Verdict]:
        usual = {Status.SUCCEEDED: Reason.SUCCESS, Status.CANCELLED: Reason.CANCELLED, Status.QUEUED: Reason.DRAINED}
        reason = reason or usual.get(status, Reason.CRASH)
        ending = Ending(reason=reason, why=f"it ended in {reason}", finished_at=self.now, **more)
        due_at = None if status.is_final else self.now + round(due_in_s * SECOND)
        return ending, Verdict(status=status, failures=claim.attempt, losses=0, due_at=due_at)

    async def retry(self, claim: Claim, *, due_in_s: float = 0, **more: Any) -> Run:
        return await self.end(claim, Status.RETRYING, due_in_s=due_in_s, **more)

    async def status(self, run: Run) -> Status:
        return (await self.detail(run)).run.status

    async def detail(self, run: Run) -> RunDetail:
        return await self.store.get(run.app, run.id)

    def pass_s(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


async def desk_at(store: Store, tasks: Mapping[str, int] | None = None, app: str = "main") -> Desk:
    """A desk at an open store; `tasks` says what memory each needs."""
    needs = {TaskKey(app, task): need for task, need in (tasks or {"a": 100, "b": 100, "c": 100}).items()}
    await store.register(node_info())
    await store.announce(needs)
    desk = Desk(store, needs)
    store.listen(desk.notices.append)
    return desk
