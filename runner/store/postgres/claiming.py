"""Claiming: what time makes due, and which runs go next.

A look is one statement: the oldest lane of each task that has something to claim, and when there will be more. Only
where there is something is a transaction begun. In it the node's row is locked against a burial, and runs are started
one by one: each lane's queue is locked, or passed where somebody else is busy with it; where nothing else was to be
had, the claim waits for the first that was passed, holding nothing.

The tokens are made before the first try, so that a repeated one finds what a lost one had claimed.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import asyncpg

from runner.domain.run import Claim
from runner.errors import StaleClaimError
from runner.store.patience import Patience
from runner.store.postgres.database import Database, Transaction
from runner.store.records import Claims, Room, TaskKey
from runner.store.rows import run_of

#: Runs that one claim makes due at most.
_RIPEN_AT_ONCE = 500
#: When to look again at what somebody else was busy with.
_BUSY_US = 20_000


class _Head(NamedTuple):
    """The lane of a task whose turn is next; the smaller goes first."""

    turn: int
    queue: str
    task: TaskKey

    @property
    def lane(self) -> str:
        """Its name among those to skip."""
        return f"{self.queue}\n{self.task.task}"


@dataclass(slots=True)
class _Round:
    """One try to fill a room."""

    node: str
    room: Room
    now: int
    tokens: Sequence[str]
    patience: Patience
    free: int
    heads: dict[TaskKey, _Head]
    started: int = 0
    reserved: TaskKey | None = None
    #: They need more memory than is free, and none is kept for them.
    passed: set[TaskKey] = field(default_factory=set)
    #: Somebody else is busy with them.
    busy: list[_Head] = field(default_factory=list)

    async def fill(self, tx: Transaction) -> None:
        """Start runs until nothing more fits."""
        while self.heads and self.started < self.room.slots:
            task = min(self.heads, key=self.heads.__getitem__)
            if self.room.needs[task] <= self.free:
                await self._start(tx, self.heads[task], wait=False)
                continue
            waiting = [
                each for each in sorted(self.heads, key=self.heads.__getitem__) if self.room.needs[each] > self.free
            ]
            self.reserved = self.patience.reserved(waiting, self.now)
            if self.reserved is not None:
                return
            self.passed.update(waiting)
            self.heads = {each: head for each, head in self.heads.items() if each not in self.passed}
        if self.started == 0 and self.busy and self.room.slots and not self.passed:
            await self._start(tx, self.busy.pop(0), wait=True)

    async def _start(self, tx: Transaction, head: _Head, *, wait: bool) -> None:
        task, token = head.task, self.tokens[self.started]
        skip = [each.lane for each in self.busy]
        rows = await tx.rows("start", task.app, task.task, head.queue, self.node, token, self.now, wait, skip)
        outcome = rows[0]["outcome"]
        if outcome == "started":
            self.started += 1
            self.patience.started(task)
            self.free -= self.room.needs[task]
        elif outcome == "locked":
            self.busy.append(head)
        for row in rows:
            changed = TaskKey(task.app, row["task"])
            following = row["turn"] is not None and _Head(row["turn"], row["queue"], changed)
            self.heads.pop(changed, None)
            # What could not be started is not tried again in this round.
            is_same = outcome != "started" and following == head
            if following and not is_same and changed not in self.passed and _runs_here(changed, self.room):
                self.heads[changed] = following


async def claim(database: Database, node: str, room: Room, now: int, patience: Patience) -> Claims:
    """Hand out runs within `room`."""
    instant, heads = await _look(database, room)
    if instant is not None and instant <= now:
        await database.write(lambda tx: _ripen(tx, now))
        instant, heads = await _look(database, room)
    if not heads or not room.slots:
        if not heads:
            patience.nobody_waits()
        return Claims(claims=(), wake_at=_wake_at(instant, now))
    tokens = [secrets.token_hex(16) for _ in range(room.slots)]
    latest: list[_Round] = []

    async def work(tx: Transaction) -> list[Claim]:
        if not await tx.value("node_alive", node):
            raise StaleClaimError(f"node {node} was declared dead or never registered: it may come under a fresh id")
        if tx.repeated and (found := await _started(tx, tokens)):
            return found
        latest[:] = [_Round(node, room, now, tokens, patience, room.memory_bytes, dict(heads))]
        await latest[0].fill(tx)
        return await _started(tx, tokens[: latest[0].started])

    claims = await database.write(work)
    (after,) = latest
    return Claims(
        claims=tuple(claims), wake_at=await _next(database, after, patience, now), reserved_for=after.reserved
    )


async def _next(database: Database, after: _Round, patience: Patience, now: int) -> int | None:
    instants = [_wake_at((await database.single("next_instant"))[0][0], now)]
    if after.reserved is not None or after.passed:
        instants.append(patience.switches_at(now))
    elif not after.heads:
        patience.nobody_waits()
    if after.busy and after.started < after.room.slots:
        instants.append(now + _BUSY_US)
    return min((instant for instant in instants if instant is not None), default=None)


async def orphans(database: Database, node: str | None) -> list[Claim]:
    """The claims whose attempts have not ended."""
    if node is None:
        return claims_of(await database.single("open_attempts"))
    return claims_of(await database.single("open_attempts_of_node", node))


def claims_of(rows: Sequence[asyncpg.Record]) -> list[Claim]:
    """What `open_attempts…` found."""
    return [
        Claim(run=run_of(row), parameters="", attempt=row["number"], token=row["token"], fence=row["fence"])
        for row in rows
    ]


async def _look(database: Database, room: Room) -> tuple[int | None, dict[TaskKey, _Head]]:
    instant: int | None = None
    heads: dict[TaskKey, _Head] = {}
    for row in await database.single("look"):
        if row["task"] is None:
            instant = row["turn"]
        elif _runs_here(task := TaskKey(row["app"], row["task"]), room):
            heads[task] = _Head(row["turn"], row["queue"], task)
    return instant, heads


async def _ripen(tx: Transaction, now: int) -> None:
    tx.ended += map(run_of, await tx.rows("ripen", now, _RIPEN_AT_ONCE))
    tx.ready = True  # others may have room for what came due


async def _started(tx: Transaction, tokens: Sequence[str]) -> list[Claim]:
    found = {row["token"]: row for row in await tx.rows("started", tokens)} if tokens else {}
    return [
        Claim(
            run=run_of(row),
            parameters=row["parameters"],
            attempt=row["number"],
            token=row["token"],
            fence=row["fence"],
        )
        for token in tokens
        if (row := found.get(token))
    ]


def _runs_here(task: TaskKey, room: Room) -> bool:
    need = room.needs.get(task)
    return need is not None and need <= room.memory_total_bytes


def _wake_at(instant: int | None, now: int) -> int | None:
    return instant and max(instant, now)
