"""Storing new runs: all of a call or none, and the calls of a moment in one commit.

However many runs there are, it is one statement, and by itself a transaction: one way to the database and back. The
function `enqueue` there locks the queues, inserts, decides anew what goes next in those queues and looks at the limits.
What waits in an app is summed from shares that connections add to (`totals`), each seeing what is committed; two nodes
that enqueue at the same instant can so pass a limit by what both are about to add.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from runner.domain.run import NewRun, Run
from runner.errors import ConflictError, InvariantError, LimitExceededError, RunnerError
from runner.store.postgres.database import Database, Transaction
from runner.store.records import Policy, StoreLimits
from runner.store.refusals import (
    id_is_taken,
    key_is_taken,
    rest_is_for_outside,
    share_is_full,
    too_many_children,
    too_many_wait,
)
from runner.store.rows import Entry, run_of
from runner.store.waiting_limits import where

#: SQLSTATE of a call that the database refused.
_REFUSED = "IS001"
_NO_RULES = (None,) * 6
_RUNS_AT_ONCE = 5000
_BYTES_AT_ONCE = 16 << 20


class Enqueuer:
    """Stores what several callers hand in meanwhile in one commit; alone, a call has a commit of its own."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy
        self._waiting: list[_Call] = []
        self._is_storing = False

    async def enqueue(self, entries: list[Entry]) -> list[Run]:
        """Store the runs of one call; goes on when its caller stops waiting."""
        self._database.check_open()
        call = _Call(entries, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if not self._is_storing:
            self._is_storing = True
            self._database.begin(self._store_all())
        return await call.stored

    async def _store_all(self) -> None:
        try:
            while self._waiting:
                await self._store(self._next_group())
        finally:
            self._is_storing = False

    def _next_group(self) -> list[_Call]:
        runs = size = taken = 0
        for call in self._waiting:
            runs += len(call.entries)
            size += sum(len(entry.new.parameters) for entry in call.entries)
            if taken and (runs > _RUNS_AT_ONCE or size > _BYTES_AT_ONCE):
                break
            taken += 1
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group

    async def _store(self, group: list[_Call]) -> None:
        together = [entry for call in group for entry in call.entries]
        try:
            runs = await self._database.write_at_once(lambda tx: insert(tx, together, self._policy))
        except (ConflictError, LimitExceededError) as error:
            if len(group) == 1:
                group[0].fail(error)
                return
            for call in group:  # one of them is refused; the others must not be
                await self._store([call])
        except RunnerError as error:
            for call in group:
                call.fail(type(error)(*error.args))
        except BaseException as error:
            for call in group:
                call.fail(error)
            raise
        else:
            for call in group:
                call.succeed(runs[: len(call.entries)])
                runs = runs[len(call.entries) :]


@dataclass(frozen=True, slots=True)
class _Call:
    entries: list[Entry]
    stored: asyncio.Future[list[Run]]  # cancelled where the caller stopped waiting

    def succeed(self, runs: list[Run]) -> None:
        if not self.stored.done():
            self.stored.set_result(runs)

    def fail(self, error: BaseException) -> None:
        if not self.stored.done():
            self.stored.set_exception(error)


async def insert(tx: Transaction, entries: Sequence[Entry], policy: Policy) -> list[Run]:
    """Store the runs that are not stored yet, and return them all, in order."""
    if not entries:
        return []
    queues = sorted({(entry.new.app, entry.new.queue) for entry in entries if entry.new.queue})
    try:
        row = await tx.row(
            "enqueue",
            orjson.dumps([_as_json(entry) for entry in entries]).decode(),
            [entry.new.parameters for entry in entries],
            *(_rules(queues, policy) if queues else _NO_RULES),
            policy.limits.waiting_per_queue,
            policy.limits.waiting_per_app,
            policy.limits.children_per_run,
        )
    except asyncpg.PostgresError as error:
        if error.sqlstate == _REFUSED:
            raise _refusal(json.loads(error.detail or ""), entries, policy.limits) from None
        raise
    assert row is not None, "enqueue always answers"
    places = frozenset(range(1, len(entries) + 1) if row["places"] is None else row["places"])
    fresh = [entry for place, entry in enumerate(entries, start=1) if place in places]
    # A run that is not due yet, or that may expire, moves the instant at which to look again. A try whose answer was
    # lost may have stored them, and told nobody.
    tx.ready |= (
        row["opened"]
        or tx.repeated
        or any(
            not entry.values["ready"] or entry.new.queue is None or entry.new.expires_at is not None for entry in fresh
        )
    )
    return [
        entry.new.stored() if place in places else run_of(await _earlier(tx, entry.new))
        for place, entry in enumerate(entries, start=1)
    ]


def _as_json(entry: Entry) -> dict[str, Any]:
    """The values of its row, as JSON can carry them to the database."""
    values = dict(entry.values)
    if entry.new.timeout_s is not None:
        values["timeout_s"] = str(entry.new.timeout_s)  # it may be without end
    if (digest := values["parameters_digest"]) is not None:
        values["parameters_digest"] = f"\\x{digest.hex()}"
    return values


async def lock_queues(tx: Transaction, queues: Iterable[tuple[str, str]], policy: Policy) -> None:
    """Give the queues their rows, with the rules of the config, and lock them."""
    queues = list(queues)
    if queues:
        await tx.rows("lock_queues", *_rules(queues, policy))


def _rules(queues: Sequence[tuple[str, str]], policy: Policy) -> tuple[list[Any], ...]:
    """The columns of queues with their rules."""
    rules = [policy.queue_rule(app, name).columns() for app, name in queues]
    return (
        [app for app, _ in queues],
        [name for _, name in queues],
        *([rule[column] for rule in rules] for column in rules[0]),
    )


async def _earlier(tx: Transaction, new: NewRun) -> asyncpg.Record:
    """The run that is stored already under this one's idempotency key or id."""
    row = None
    if new.idempotency_key is not None:
        row = await tx.row("run_by_idempotency_key", new.app, new.task, new.scheduled_by or "", new.idempotency_key)
    row = row or await tx.row("run_by_id", new.app, new.id)
    if row is None:
        raise asyncpg.SerializationError(f"run {new.id} was deleted while it was stored again")
    return row


def _refusal(facts: dict[str, Any], entries: Sequence[Entry], limits: StoreLimits) -> RunnerError:
    """What the database says about a call that it refused, for the caller."""
    match facts:
        case {"place": place, "run": run}:
            return key_is_taken(entries[place - 1].new, run)
        case {"taken": run}:
            return id_is_taken(run)
        case {"parent": parent}:
            return too_many_children(limits.children_per_run, parent)
        case {"app": app}:
            queue, task, by = facts.get("queue"), facts.get("task"), facts.get("by")
            limit = limits.waiting_per_queue if queue or task else limits.waiting_per_app
            if by is None:
                return too_many_wait(limit, where(app, queue, task))
            refused = share_is_full if facts["share"] == "own" else rest_is_for_outside
            return refused(by, limit, where(app, queue, task))
    return InvariantError(f"the store refused new runs without saying why: {facts}")
