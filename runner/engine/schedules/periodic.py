"""Fires the schedules: tasks with `every` or `cron`.

APScheduler keeps the clock, the store keeps what is due: each schedule has one timer, for the instant that its row
names. When it fires, one commit moves the row on and stores the run, so a firing creates exactly one run, however often
it is tried and on however many nodes. What becomes of firings that were missed while nobody ran, the task says
(`catch_up`).

Nodes that share a store may have different tasks, while one after the other is upgraded or for good. So each tells what
its own tasks declare, when that changes and again every minute, and deletes nothing that others declare: the rule that
was declared last counts, and fires on the nodes that have it; a schedule goes once no node has declared it for a day.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from runner.catalog import Catalog, TaskEntry
from runner.domain.run import NewRun
from runner.engine.schedules.fire_times import next_fire
from runner.engine.schedules.pace import Pace
from runner.errors import NotFoundError, RunnerError
from runner.store.contract import Store
from runner.store.records import Firing, ScheduleState, TaskKey
from runner.uuid7 import uuid7

_RETRY_S = 5.0  # after the store refused a firing
_AT_ONCE = 1000  # a timer may be set again, and be due, before the firing that sets it is over
_MISSED_US = 60_000_000  # a firing that is later than this was missed
_APART_US = 60_000_000  # the clocks of two nodes that share a store are never so far apart
_SILENT_US = 180_000_000  # whoever has not told for this long is gone, or declares it no more
_FORGOTTEN_US = 86_400_000_000  # long enough to repair the one node that has a task

_logger = logging.getLogger(__name__)


class Periodic:
    """The schedules of one node."""

    def __init__(self, store: Store, catalog: Catalog, clock: AsyncIOScheduler) -> None:
        self._store, self._catalog, self._clock = store, catalog, clock
        self._rules: dict[tuple[str, str], str] = {}  # as last told
        self._pace = Pace()  # of the firings of each file
        self._waiting: set[str] = set()  # jobs that are due and have no turn yet

    async def refresh(self) -> None:
        """Tell the store which schedules the tasks declare by now, and set their timers."""
        store, now = self._store, self._store.now()
        declared = {
            (entry.app, entry.name): ScheduleState(
                app=entry.app, name=entry.name, task=entry.name, rule=rule, next_at=next_fire(entry.options, now)
            )
            for entry in self._catalog.entries.values()
            if (rule := _rule(entry)) is not None
        }
        fresh = [state for key, state in declared.items() if self._rules.get(key) != state.rule]
        if fresh:
            await store.put_schedules(fresh, now)
        # Nobody else works on an embedded store: what this node does not declare, nobody does.
        silent_us, forgotten_us = (_SILENT_US, _FORGOTTEN_US) if store.is_shared else (0, 0)
        await store.keep_schedules(list(declared.values()), now, silent_us=silent_us, forgotten_us=forgotten_us)
        self._rules = {key: state.rule for key, state in declared.items()}
        own = {_job(state): await self._in_time(state) for state in await store.schedules() if self._declares(state)}
        for job in self._clock.get_jobs():
            if job.id.startswith("schedule:") and job.id not in own:
                job.remove()
        for state in own.values():
            self._set_timer(state)

    async def _in_time(self, state: ScheduleState) -> ScheduleState:
        """The schedule, set to fire earlier where a clock that was ahead has moved it on too far."""
        now, entry = self._store.now(), self._catalog.entries.get(TaskKey(state.app, state.task))
        following = next_fire(entry.options, now) if entry is not None else None
        if state.next_at is None or following is None or state.next_at <= following:
            return state
        if state.last_at is not None and following <= state.last_at <= now + _APART_US:
            return state  # another node, whose clock is a little ahead, has just fired it
        _logger.warning(
            "schedule %s fires earlier than it is set to: that was set by a clock that was ahead", state.name
        )
        await self._store.reschedule(state.app, state.name, seen=state.next_at, next_at=following)
        return dataclasses.replace(state, next_at=following)

    async def refresh_later(self) -> None:
        """`refresh`, now and then: what it could not do now it does the next time."""
        try:
            await self.refresh()
        except RunnerError as error:
            _logger.warning("the schedules are looked at again later: %s", error)

    def _declares(self, state: ScheduleState) -> bool:
        """Whether this node has the task of a schedule, with this very rule: otherwise it fires on other nodes."""
        return self._rules.get((state.app, state.name)) == state.rule

    def _set_timer(self, state: ScheduleState, *, not_before_s: float = 0.0) -> None:
        if state.next_at is None:
            return
        # By how much from now, not when: the store's clock need not be this machine's.
        delay_us = max(state.next_at - self._store.now(), round(not_before_s * 1e6))
        self._clock.add_job(
            self._fire,
            DateTrigger(datetime.now(UTC) + timedelta(microseconds=delay_us)),
            args=[state],
            id=_job(state),
            replace_existing=True,
            misfire_grace_time=None,  # late is better than never
            max_instances=_AT_ONCE,
        )

    async def _fire(self, expected: ScheduleState) -> None:
        """Fire it in its file's turn: a file with very many schedules waits for itself."""
        job, entry = _job(expected), self._catalog.entries.get(TaskKey(expected.app, expected.task))
        if entry is None or job in self._waiting:
            return
        self._waiting.add(job)
        try:
            async with self._pace.turn(entry.file):
                self._waiting.discard(job)
                await self._fire_now(expected)
        except asyncio.CancelledError:
            return  # the clock was stopped; APScheduler would log that as an error of each that waits
        finally:
            self._waiting.discard(job)

    async def _fire_now(self, expected: ScheduleState) -> None:
        store, catalog = self._store, self._catalog
        try:
            state = await store.schedule(expected.app, expected.name)
            entry = catalog.entries.get(TaskKey(expected.app, expected.task))
            if state is None or entry is None or not self._declares(state):
                return
            if state.next_at is not None and store.now() >= state.next_at:  # unless the clock was set back
                await store.fire(await self._firing(entry, state, state.next_at))
                state = await store.schedule(expected.app, expected.name)
        except RunnerError as error:
            _logger.warning("schedule %s is tried again: %s", expected.name, error)
            self._set_timer(expected, not_before_s=_RETRY_S)
            return
        if state is not None:
            self._set_timer(state)

    async def _firing(self, entry: TaskEntry, state: ScheduleState, due_at: int) -> Firing:
        now, catch_up = self._store.now(), entry.options.catch_up
        was_missed = now - due_at > _MISSED_US
        one_by_one = was_missed and catch_up == "all"
        is_folded = was_missed and catch_up == "one"
        is_skipped = (was_missed and catch_up == "none") or (not one_by_one and await self._overlaps(entry, state))
        run = None if is_skipped else _new_run(entry, state, now, now if is_folded else due_at)
        next_at = next_fire(entry.options, due_at if one_by_one else max(now, due_at))
        return Firing(app=state.app, name=state.name, due_at=due_at, next_at=next_at, run=run)

    async def _overlaps(self, entry: TaskEntry, state: ScheduleState) -> bool:
        """Whether this firing is skipped since the run of the one before has not ended."""
        if entry.options.overlap != "skip" or state.last_run is None:
            return False
        try:
            last = await self._store.get(state.app, state.last_run)
        except NotFoundError:
            return False
        return not last.run.status.is_final


def _job(state: ScheduleState) -> str:
    return f"schedule:{state.app}:{state.name}"


def _rule(entry: TaskEntry) -> str | None:
    options = entry.options
    if options.every_s is not None:
        return f"every {options.every_s:g}s"
    if options.cron is not None:
        return f"cron {options.cron} {options.timezone}"
    return None


def _new_run(entry: TaskEntry, state: ScheduleState, now: int, due_at: int) -> NewRun:
    options = entry.options
    return NewRun(
        app=entry.app,
        id=uuid7(),
        task=entry.name,
        parameters="{}",
        created_at=now,
        due_at=due_at,
        queue=options.queue,
        priority=options.priority,
        tags=options.tags,
        expires_at=None if options.expires_s is None else now + round(options.expires_s * 1e6),
        schedule=state.name,
    )
