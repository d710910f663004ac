"""Claiming: what time makes due, and which runs go next.

A claim is one statement, and so a transaction by itself: it finds the oldest lane of each task that has something to
claim, and starts runs one by one, in turn for each file. Only where there is something, the node's row is locked
against who would bury or drain it. Each lane's queue is locked, or passed where somebody else is busy with it; where
there was nothing else, the claim waits for the first that was passed, holding nothing. What has come due is seen to
before, by a transaction of its own. A claim that goes with the end of an attempt holds the queue of that, so it waits
for nobody.

The tokens are made before the first try, so that a repeated one finds what a lost one had claimed.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from runner.domain.run import Claim
from runner.store.file_turns import FileTurns
from runner.store.memory_turns import MemoryTurns
from runner.store.postgres.database import Database, Transaction
from runner.store.records import Claims, Room, TaskKey
from runner.store.refusals import node_is_dead
from runner.store.rows import orphan_of, run_of

#: Runs that one claim makes due at most.
_RIPEN_AT_ONCE = 500
#: When to look again at what somebody else was busy with.
_BUSY_US = 20_000


class Asking:
    """One claim: what is asked of the database, and what its answer comes to."""

    def __init__(self, node: str, room: Room, now: int, memory_turns: MemoryTurns, *, file_turns: FileTurns) -> None:
        self._node, self._room, self._now, self._memory_turns, self._file_turns = (
            node,
            room,
            now,
            memory_turns,
            file_turns,
        )
        #: Of the attempts that may begin.
        self.tokens = [secrets.token_hex(16) for _ in range(room.slots)]

    def arguments(self) -> tuple[object, ...]:
        """Of the function `claim`, but for the last two."""
        room = self._room
        needs = {task: need for task, need in room.needs.items() if need <= room.memory_total_bytes}
        tasks = [task.app for task in needs], [task.task for task in needs], list(needs.values())
        files = self._file_turns.numbered(list(needs), room.files)
        passes = not self._memory_turns.keeps(self._now)
        return self._node, self._now, self.tokens, *tasks, *files, room.memory_bytes, passes

    def answered(self, got: Mapping[str, Any]) -> Claims:
        """What was handed out, and when to ask again."""
        if got["outcome"] != "done":
            return Claims(claims=(), wake_at=None)
        claims = [_claim_of(each) for each in json.loads(got["claims"] or "[]")]
        for each in claims:
            self._memory_turns.started(TaskKey(each.run.app, each.run.task))
            self._file_turns.serve(TaskKey(each.run.app, each.run.task), self._room.files)
        instants = [] if got["instant"] is None else [max(got["instant"], self._now)]
        reserved: TaskKey | None = None
        if got["waiting"]:
            waiting = [TaskKey(*task) for task in json.loads(got["waiting"])]
            reserved = self._memory_turns.reserved(waiting, self._now)
            instants.append(self._memory_turns.switches_at(self._now))
        elif len(claims) < self._room.slots:
            self._memory_turns.nobody_waits()
        if got["is_busy"] and len(claims) < self._room.slots:
            instants.append(self._now + _BUSY_US)
        return Claims(claims=tuple(claims), wake_at=min(instants, default=None), reserved_for=reserved)


def found_again(started: str | None) -> Mapping[str, Any]:
    """The answer to a claim whose first answer was lost, from what was `started` by it."""
    return {"outcome": "done", "claims": started, "waiting": None, "is_busy": True, "instant": None}


async def claim(
    database: Database, node: str, room: Room, now: int, memory_turns: MemoryTurns, *, file_turns: FileTurns
) -> Claims:
    """Hand out runs within `room`."""
    asking = Asking(node, room, now, memory_turns, file_turns=file_turns)

    async def work(tx: Transaction, *, ripens: bool) -> Any:
        if tx.repeated and (started := await tx.value("started", asking.tokens)):
            return found_again(started)
        return await tx.row("claim", *asking.arguments(), ripens)

    got = await database.write_at_once(lambda tx: work(tx, ripens=True))
    if got["outcome"] == "due":
        await database.write(lambda tx: _ripen(tx, now))
        got = await database.write_at_once(lambda tx: work(tx, ripens=False))
    if got["outcome"] == "buried":
        raise node_is_dead(node)
    return asking.answered(got)


async def orphans(database: Database, node: str | None) -> list[Claim]:
    """The claims whose attempts have not ended."""
    of_node = ("open_attempts",) if node is None else ("open_attempts_of_node", node)
    return list(map(orphan_of, await database.single(*of_node)))


async def _ripen(tx: Transaction, now: int) -> None:
    tx.ended += map(run_of, await tx.rows("ripen", now, _RIPEN_AT_ONCE))
    tx.ready = True  # others may have room for what came due


def _claim_of(started: dict[str, Any]) -> Claim:
    """One of those that `started` gave."""
    row = started.pop("run")
    if row["timeout_s"] is not None:
        row["timeout_s"] = float(row["timeout_s"])  # which JSON spells "Infinity" where there is none
    return Claim(run=run_of(row), **started)


async def wait_anew(database: Database, now: int) -> None:
    """Let what waits for a while that began later than `now`, by a clock that was ahead, wait from now on."""
    await database.single("open_queues_anew", now)
    await database.single("begin_backoffs_anew", now)
    await database.single("begin_delays_anew", now)
