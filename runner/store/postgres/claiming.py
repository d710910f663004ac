"""Claiming: what time makes due, and which runs go next.

A claim is one statement, and so a transaction by itself: it finds the oldest lane of each task that has something to
claim, and starts runs one by one. Only where there is something, the node's row is locked against who would bury or
drain it. Each lane's queue is locked, or passed where somebody else is busy with it; where nothing else was to be had, the claim waits
for the first that was passed, holding nothing. What has come due is seen to before, by a transaction of its own.

The tokens are made before the first try, so that a repeated one finds what a lost one had claimed.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any

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


async def claim(database: Database, node: str, room: Room, now: int, patience: Patience) -> Claims:
    """Hand out runs within `room`."""
    needs = {task: need for task, need in room.needs.items() if need <= room.memory_total_bytes}
    tasks = [task.app for task in needs], [task.task for task in needs], list(needs.values())
    tokens = [secrets.token_hex(16) for _ in range(room.slots)]
    passes = not patience.keeps(now)

    async def work(tx: Transaction, *, ripens: bool) -> Any:
        if tx.repeated and (found := await tx.value("started", tokens)):
            return {"outcome": "done", "claims": found, "waiting": None, "is_busy": True, "instant": None}
        return await tx.row("claim", node, now, ripens, tokens, *tasks, room.memory_bytes, passes)

    got = await database.write_at_once(lambda tx: work(tx, ripens=True))
    if got["outcome"] == "due":
        await database.write(lambda tx: _ripen(tx, now))
        got = await database.write_at_once(lambda tx: work(tx, ripens=False))
    if got["outcome"] == "buried":
        raise StaleClaimError(f"node {node} was declared dead or never registered: it may come under a fresh id")
    if got["outcome"] == "draining":
        return Claims(claims=(), wake_at=None)
    claims = [_claim_of(each) for each in json.loads(got["claims"] or "[]")]
    for each in claims:
        patience.started(TaskKey(each.run.app, each.run.task))
    instants = [] if got["instant"] is None else [max(got["instant"], now)]
    reserved: TaskKey | None = None
    if got["waiting"]:
        reserved = patience.reserved([TaskKey(*task) for task in json.loads(got["waiting"])], now)
        instants.append(patience.switches_at(now))
    elif len(claims) < room.slots:
        patience.nobody_waits()
    if got["is_busy"] and len(claims) < room.slots:
        instants.append(now + _BUSY_US)
    return Claims(claims=tuple(claims), wake_at=min(instants, default=None), reserved_for=reserved)


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


async def _ripen(tx: Transaction, now: int) -> None:
    tx.ended += map(run_of, await tx.rows("ripen", now, _RIPEN_AT_ONCE))
    tx.ready = True  # others may have room for what came due


def _claim_of(started: dict[str, Any]) -> Claim:
    """One of those that `started` gave."""
    row = started.pop("run")
    if row["timeout_s"] is not None:
        row["timeout_s"] = float(row["timeout_s"])  # which JSON spells "Infinity" where there is none
    return Claim(run=run_of(row), **started)
