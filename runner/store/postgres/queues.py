"""Queues, for those who look after them. Whoever changes one holds the lock on its row, and decides what goes next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from runner.domain.run import QueueState
from runner.domain.status import Status
from runner.store.parts import AT_ONCE
from runner.store.postgres.database import Database, Transaction
from runner.store.postgres.enqueueing import lock_queues
from runner.store.records import Policy, TaskKey
from runner.store.refusals import queue_is_held
from runner.store.rows import has_rule, queue_of


async def apply_rules(database: Database, policy: Policy) -> None:
    """Take over what the config says now about the queues that are stored."""
    after = ("", "")
    while rows := await database.read(lambda tx, after=after: tx.rows("queues_in_order", *after, AT_ONCE)):  # type: ignore[misc]
        after = (rows[-1]["app"], rows[-1]["name"])
        changed = [
            (row["app"], row["name"]) for row in rows if not has_rule(row, policy.queue_rule(row["app"], row["name"]))
        ]
        if changed:
            await database.write(lambda tx, changed=changed: _apply(tx, changed, policy))  # type: ignore[misc]


async def _apply(tx: Transaction, queues: list[tuple[str, str]], policy: Policy) -> None:
    await lock_queues(tx, queues, policy)
    for app, name in queues:
        rule = policy.queue_rule(app, name)
        await tx.rows("update_queue_rule", app, name, *rule.columns().values())
        if not rule.is_strict:
            await tx.rows("release_retrying", app, name)
        await _refresh(tx, app, name)


async def announce(database: Database, node: str, needs: Mapping[TaskKey, int]) -> None:
    """Tell which tasks this node has, and bring the lanes in line, in parts."""
    tasks = sorted(needs)
    apps, names = [task.app for task in tasks], [task.task for task in tasks]

    async def tell(tx: Transaction) -> None:
        await tx.rows("withdraw_tasks", node, apps, names)
        await tx.rows("announce_tasks", node, apps, names)

    await database.write(tell)
    while not await database.write(_settle):
        pass


async def _settle(tx: Transaction) -> bool:
    row = await tx.row("settle_announced", AT_ONCE)
    assert row is not None, "a function returns"
    tx.ready |= row["opened"]
    return bool(row["done"])


async def pause(tx: Transaction, policy: Policy, app: str, queue: str, now: int) -> QueueState:
    """Start no more runs of the queue."""
    await lock_queues(tx, [(app, queue)], policy)
    await tx.rows("pause_queue", app, queue, now)
    await _refresh(tx, app, queue)
    return (await states(tx, policy, app, [queue]))[queue]


async def resume(tx: Transaction, policy: Policy, app: str, queue: str) -> QueueState:
    """Take back a pause."""
    await tx.rows("lock_queue", app, queue)
    await tx.rows("resume_queue", app, queue)
    await _refresh(tx, app, queue)
    return (await states(tx, policy, app, [queue]))[queue]


async def release(tx: Transaction, app: str, queue: str) -> int:
    """Free the slots that retrying runs hold; returns how many."""
    await tx.rows("lock_queue", app, queue)
    for holder in await tx.rows("holders_of_queues", app, [queue]):
        if holder["status"] == Status.RUNNING:
            raise queue_is_held(queue, holder["id"])
    released = len(await tx.rows("release_retrying", app, queue))
    await _refresh(tx, app, queue)
    return released


async def states(tx: Transaction, policy: Policy, app: str, names: Collection[str]) -> dict[str, QueueState]:
    """These queues as they stand; one without a row is empty."""
    stored = await states_of(tx, policy, app, await tx.rows("queues_by_name", app, list(names)))
    return {name: policy.empty_queue(app, name) for name in names} | {queue.name: queue for queue in stored}


async def states_of(tx: Transaction, policy: Policy, app: str, rows: Sequence[Any]) -> list[QueueState]:
    """The queues of these rows of one app, with what waits in them and who holds them."""
    names = [row["name"] for row in rows]
    counts = {row["queue"]: row for row in await tx.rows("waiting_and_scheduled", app, names)}
    holders: defaultdict[str, list[Any]] = defaultdict(list)
    for row in await tx.rows("holders_of_queues", app, names):
        holders[row["queue"]].append(row)
    return [
        queue_of(
            row,
            policy.queue_rule(app, row["name"]),
            waiting=counts[row["name"]]["waiting"] if row["name"] in counts else 0,
            scheduled=counts[row["name"]]["scheduled"] if row["name"] in counts else 0,
            holders=holders[row["name"]],
        )
        for row in rows
    ]


async def _refresh(tx: Transaction, app: str, queue: str) -> None:
    tx.ready |= await tx.value("refresh", app, queue) is not None
