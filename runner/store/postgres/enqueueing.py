"""Storing new runs: all of a call or none, many in one statement, and the calls of a moment in one commit.

A batch costs a handful of statements however many runs it has: lock its queues, insert, decide anew what goes next in
those queues, look at the limits. What waits in an app is summed from shares that connections add to (`totals`), each
seeing what is committed; two nodes that enqueue at the same instant can so pass a limit by what both are about to add.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from runner.domain.run import NewRun, Run
from runner.errors import ConflictError, InvalidOptionError, LimitExceededError, RunnerError
from runner.store.policy import Policy
from runner.store.postgres.database import Database, Transaction
from runner.store.rows import run_of, values_of

_COLUMNS = (
    "app",
    "id",
    "task",
    "queue",
    "status",
    "ready",
    "priority",
    "tags",
    "idempotency_key",
    "parameters_digest",
    "parent",
    "replay_of",
    "schedule",
    "retry",
    "timeout_s",
    "created_at",
    "due_at",
    "expires_at",
)
_RUNS_AT_ONCE = 5000
_BYTES_AT_ONCE = 16 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A new run and the values of its row."""

    new: NewRun
    values: dict[str, Any]


def prepared(runs: Sequence[NewRun]) -> list[Entry]:
    """The rows of new runs."""
    for new in runs:
        if "\0" in (new.idempotency_key or ""):
            raise InvalidOptionError("idempotency_key must not hold U+0000, which PostgreSQL cannot keep")
    return [Entry(new, values_of(new)) for new in runs]


class Enqueuer:
    """Stores what several callers hand in meanwhile in one commit; alone, a call has a commit of its own."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy
        self._waiting: list[tuple[list[Entry], asyncio.Future[list[Run]]]] = []
        self._is_storing = False

    async def enqueue(self, entries: list[Entry]) -> list[Run]:
        """Store the runs of one call."""
        stored: asyncio.Future[list[Run]] = asyncio.get_running_loop().create_future()
        self._waiting.append((entries, stored))
        if not self._is_storing:
            await self._store_all()
        return await stored

    async def _store_all(self) -> None:
        self._is_storing = True
        try:
            while self._waiting:
                await self._store(self._next_group())
        finally:
            self._is_storing = False

    def _next_group(self) -> list[tuple[list[Entry], asyncio.Future[list[Run]]]]:
        runs = size = taken = 0
        for entries, _ in self._waiting:
            runs += len(entries)
            size += sum(len(entry.new.parameters) for entry in entries)
            if taken and (runs > _RUNS_AT_ONCE or size > _BYTES_AT_ONCE):
                break
            taken += 1
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group

    async def _store(self, group: list[tuple[list[Entry], asyncio.Future[list[Run]]]]) -> None:
        together = [entry for entries, _ in group for entry in entries]
        try:
            runs = await self._database.write(lambda tx: insert(tx, together, self._policy))
        except (ConflictError, LimitExceededError) as error:
            if len(group) == 1:
                group[0][1].set_exception(error)
                return
            for call in group:  # one of them is refused; the others must not be
                await self._store([call])
        except RunnerError as error:
            for _, stored in group:
                stored.set_exception(type(error)(*error.args))
        else:
            for entries, stored in group:
                stored.set_result(runs[: len(entries)])
                runs = runs[len(entries) :]


async def insert(tx: Transaction, entries: Sequence[Entry], policy: Policy) -> list[Run]:
    """Store the runs that are not stored yet, and return them all, in order."""
    queues = sorted({(entry.new.app, entry.new.queue) for entry in entries if entry.new.queue})
    await lock_queues(tx, queues, policy)
    columns = ([entry.values[name] for entry in entries] for name in _COLUMNS)
    inserted = {(row["app"], row["id"]): row for row in await tx.rows("insert_runs", *columns)} if entries else {}
    fresh: list[tuple[Entry, asyncpg.Record]] = []
    runs: list[Run] = []
    for entry in entries:
        # Each row is taken once: where a call names an id twice, the second is what the first has stored.
        row = inserted.pop((entry.new.app, entry.new.id), None)
        if row is None or row["task"] != entry.new.task:
            runs.append(run_of(await _earlier(tx, entry)))
        else:
            fresh.append((entry, row))
            runs.append(entry.new.stored())
    tx.ready |= tx.repeated  # a try whose answer was lost may have stored them, and told nobody
    if not fresh:
        await _refresh(tx, queues)
        return runs
    await tx.rows("insert_parameters", [row["seq"] for _, row in fresh], [entry.new.parameters for entry, _ in fresh])
    # A run that is not due yet, or that may expire, moves the instant at which to look again.
    tx.ready |= any(
        not entry.values["ready"] or entry.new.queue is None or entry.new.expires_at is not None for entry, _ in fresh
    )
    await _refresh(tx, queues)
    await _check_limits(tx, policy, [entry.new for entry, _ in fresh], queues)
    return runs


async def lock_queues(tx: Transaction, queues: Iterable[tuple[str, str]], policy: Policy) -> None:
    """Give the queues their rows, with the rules of the config, and lock them."""
    queues = list(queues)
    if not queues:
        return
    rules = [policy.queue_rule(app, name) for app, name in queues]
    await tx.rows(
        "lock_queues",
        [app for app, _ in queues],
        [name for _, name in queues],
        [rule.concurrency for rule in rules],
        [rule.strict for rule in rules],
        [rule.interval_us for rule in rules],
        [rule.rate for rule in rules],
    )


async def _refresh(tx: Transaction, queues: Sequence[tuple[str, str]]) -> None:
    if queues:
        opened = await tx.rows("refresh_queues", [app for app, _ in queues], [name for _, name in queues])
        tx.ready |= bool(opened)


async def _earlier(tx: Transaction, entry: Entry) -> asyncpg.Record:
    """The run that is stored already under this entry's idempotency key or id."""
    new, values = entry.new, entry.values
    row = None
    if new.idempotency_key is not None:
        row = await tx.row("run_by_idempotency_key", new.app, new.task, new.idempotency_key)
    if row is not None and row["id"] != new.id and row["parameters_digest"] != values["parameters_digest"]:
        raise ConflictError(
            f"idempotency key {new.idempotency_key!r} of task {new.task!r} was used by run {row['id']} "
            "with other parameters: use another key, or the same parameters"
        )
    row = row or await tx.row("run_by_id", new.app, new.id)
    if row is None:
        raise asyncpg.SerializationError(f"run {new.id} was deleted while it was stored again")
    return row


async def _check_limits(
    tx: Transaction, policy: Policy, fresh: Sequence[NewRun], queues: Sequence[tuple[str, str]]
) -> None:
    limits = policy.limits
    tasks = sorted({(new.app, new.task) for new in fresh if new.queue is None})
    for statement, lanes, what in (
        ("waiting_in_queues", queues, "in queue {!r}"),
        ("waiting_in_tasks", tasks, "of task {!r} without a queue"),
    ):
        if not lanes:
            continue
        for row in await tx.rows(statement, [app for app, _ in lanes], [name for _, name in lanes]):
            if row["waiting"] > limits.waiting_per_queue:
                raise LimitExceededError(
                    f"more than {limits.waiting_per_queue} runs {what.format(row['name'])} would wait "
                    "([limits] of the config)"
                )
    for row in await tx.rows("waiting_in_apps", sorted({new.app for new in fresh})):
        if row["waiting"] > limits.waiting_per_app:
            raise LimitExceededError(
                f"more than {limits.waiting_per_app} runs of app {row['app']!r} would wait ([limits] of the config)"
            )
    children = Counter((new.app, new.parent) for new in fresh if new.parent is not None)
    for (app, parent), more in sorted(children.items()):
        total = await tx.value("count_children", app, parent, more)
        if total is not None and total > limits.children_per_run:
            raise LimitExceededError(
                f"run {parent} would schedule more than {limits.children_per_run} runs ([limits] of the config)"
            )
