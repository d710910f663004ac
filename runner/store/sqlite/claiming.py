"""Claiming: what `now` makes due, and which runs go next.

A claim first does what time has brought, a bounded number at once: runs expire, runs ripen (`scheduled` becomes
`queued`, a retry may start), queues that their rate kept shut open again. Then it picks. Every task with something to
claim has a head: its open lane whose turn is the oldest. Of the file that was served longest ago, see `file_turns`, the
oldest head goes, gives its best run (priority, then age), and its queue goes to the end of the turns. What that costs
depends on how many tasks have something to claim, not on how many runs or queues wait.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from runner.domain.run import Claim
from runner.store.file_turns import FileTurns
from runner.store.memory_turns import MemoryTurns
from runner.store.records import Claims, Room, TaskKey
from runner.store.rows import orphan_of, run_of
from runner.store.sqlite.queues import refresh, refresh_all
from runner.store.sqlite.writer import Transaction

#: Runs that one claim makes due at most, so that a crowd falling due does not hold up the writer.
_RIPEN_AT_ONCE = 500


class _Head(NamedTuple):
    """The lane of a task whose turn is next; the smaller goes first."""

    turn: int
    queue: str
    task: TaskKey


def claim(
    tx: Transaction, node: str, room: Room, now: int, memory_turns: MemoryTurns, *, file_turns: FileTurns
) -> Claims:
    """Hand out runs within `room`."""
    is_all_ripe = _ripen(tx, now)
    heads = _heads(tx, room)
    passed: set[TaskKey] = set()  # they need more memory than is free, and none is kept for them
    reserved: TaskKey | None = None
    claims: list[Claim] = []

    def turn(task: TaskKey) -> tuple[int, _Head]:
        return file_turns.served(room.files.get(task, "")), heads[task]

    free = room.memory_bytes
    while heads and len(claims) < room.slots:
        task = min(heads, key=turn)
        if room.needs[task] > free:
            waiting = [each for each in sorted(heads, key=turn) if room.needs[each] > free]
            reserved = memory_turns.reserved(waiting, now)
            if reserved is not None:
                break
            passed.update(waiting)
            heads = {each: head for each, head in heads.items() if each not in passed}
            continue
        queue = heads[task].queue
        claims.append(_start(tx, node, task, queue, now))
        memory_turns.started(task)
        file_turns.serve(task, room.files)
        free -= room.needs[task]
        following = refresh(tx, task.app, queue)
        _take_turn(tx, task, queue)
        for changed in {task, TaskKey(task.app, following or task.task)} - passed:
            _look_up_head(tx, heads, changed, room)
    wake_at: int | None = tx.value("next_instant") if is_all_ripe else now
    if reserved is not None or passed:
        switch_at = memory_turns.switches_at(now)
        wake_at = switch_at if wake_at is None else min(wake_at, switch_at)
    elif not heads:
        memory_turns.nobody_waits()
    tx.ready = False  # who claims has just taken what there was room for, and needs no telling
    return Claims(claims=tuple(claims), wake_at=wake_at, reserved_for=reserved)


def wait_anew(tx: Transaction, now: int) -> None:
    """Let what waits for a while that began later than `now`, by a clock that was ahead, wait from now on."""
    tx.execute("open_queues_anew", {"now": now})
    tx.execute("begin_backoffs_anew", {"now": now})
    tx.execute("begin_delays_anew", {"now": now})
    tx.ready = True  # there is a new instant to wait for


def orphans(tx: Transaction, node: str | None) -> list[Claim]:
    """The claims of attempts that have not ended."""
    return list(map(orphan_of, tx.rows("open_attempts", {"node": node})))


def _ripen(tx: Transaction, now: int) -> bool:
    """Do what is due; returns whether all of it is done."""
    instant = tx.value("next_instant")
    if instant is None or instant > now:
        return True  # mostly so, and to look takes a sixth of what it takes to change nothing
    bound = {"now": now, "limit": _RIPEN_AT_ONCE}
    expired = tx.rows("expire_runs", bound)
    tx.ended += map(run_of, expired)
    due = tx.rows("ripen_runs", bound)
    reopened = tx.rows("reopen_queues", bound)
    refresh_all(tx, ((row["app"], row["queue"]) for row in (*expired, *due)))
    refresh_all(tx, map(tuple, reopened))
    return max(map(len, (expired, due, reopened))) < _RIPEN_AT_ONCE


def _heads(tx: Transaction, room: Room) -> dict[TaskKey, _Head]:
    heads: dict[TaskKey, _Head] = {}
    task = TaskKey("", "")
    while row := tx.row("next_task_head", task) or tx.row("next_app_head", (task.app,)):
        task = TaskKey(row["app"], row["task"])
        if _runs_here(task, room):
            heads[task] = _Head(row["turn"], row["queue"], task)
    return heads


def _look_up_head(tx: Transaction, heads: dict[TaskKey, _Head], task: TaskKey, room: Room) -> None:
    row = tx.row("task_head", task) if _runs_here(task, room) else None
    if row is None:
        heads.pop(task, None)
    else:
        heads[task] = _Head(row["turn"], row["queue"], task)


def _runs_here(task: TaskKey, room: Room) -> bool:
    need = room.needs.get(task)
    return need is not None and need <= room.memory_total_bytes


def _start(tx: Transaction, node: str, task: TaskKey, queue: str, now: int) -> Claim:
    """Begin an attempt of the best run of this lane."""
    holder = tx.row("ready_holder", (task.app, queue)) if queue else None
    seq: int = holder["seq"] if holder else tx.value("best_run", (task.app, queue, task.task))
    if queue and not holder:
        taken = {row["slot"] for row in tx.rows("taken_slots", (task.app, queue))}
        slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        tx.execute("take_slot", (task.app, queue, slot, seq, now))
    (row,) = tx.rows("start_run", {"run": seq, "now": now})
    run = run_of(row)
    token = secrets.token_hex(16)
    fence: int = tx.value("insert_attempt", (seq, run.attempt_count, token, node, now))
    if queue:
        tx.execute("shut_by_rate", {"app": task.app, "name": queue, "now": now})
    parameters: str = tx.value("parameters_of", (seq,))
    return Claim(run=run, parameters=parameters, attempt=run.attempt_count, token=token, fence=fence)


def _take_turn(tx: Transaction, task: TaskKey, queue: str) -> None:
    """Send the queue, or the task without one, to the end of the turns."""
    tx.execute("advance_clock")
    if queue:
        tx.execute("queue_had_its_turn", (task.app, queue))
    else:
        tx.execute("task_had_its_turn", task)
