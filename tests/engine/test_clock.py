"""The machine's clock is set, ahead and back, under a node that runs schedules."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from runner.app import APP
from runner.config.sections import RetentionSection
from runner.domain.status import Status
from runner.engine.chores import Chores
from runner.engine.schedules.periodic import Periodic
from runner.store.records import Firing
from support.nodes import Node, running_node
from support.postgres import create_database, drop_database, shared_server
from support.projects import CONFIG, settings_of, write_project
from support.waiting import eventually_async

SECOND = 1_000_000
DAY = 86_400 * SECOND
TASKS = {
    "tick.py": """
        from runner import task

        @task(every="1s")
        def run():
            pass
    """,
    "crash.py": """
        import os
        from runner import Retry, task

        @task(retry=Retry(attempts=2, first="1h"))
        def run():
            os._exit(1)
    """,
}


@pytest.fixture(scope="module", autouse=True)
def postgres() -> str:
    """Started before any test looks which processes there are."""
    return shared_server()


@pytest.fixture(params=["sqlite", "postgres"])
def project(request, tmp_path: Path) -> Iterator[Path]:
    if request.param == "sqlite":
        yield write_project(tmp_path, TASKS)
        return
    server = shared_server()
    database = create_database(server)
    yield write_project(tmp_path, TASKS, CONFIG.replace("[runner]", f'[runner]\nstore = "{database}"'))
    drop_database(server, database)


class Clock:
    """A node's schedules, by a clock that a test sets: the store's, and ahead of it."""

    def __init__(self, node: Node, timers: AsyncIOScheduler, retention: RetentionSection) -> None:
        self.ahead_us = 0
        self.timers = timers
        self._store = node.store
        self.periodic = Periodic(self, node.engine.catalog, timers)
        self.chores = Chores(self, node.engine.catalog, self.periodic, retention, set)

    def now(self) -> int:
        return self._store.now() + self.ahead_us

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@contextlib.asynccontextmanager
async def clock_of(node: Node, project: Path) -> AsyncIterator[Clock]:
    timers = AsyncIOScheduler(timezone="UTC")
    timers.start()
    yield Clock(node, timers, settings_of(project).retention)
    timers.shutdown(wait=False)


async def test_a_schedule_goes_on_when_a_clock_that_was_ahead_is_right_again(project: Path) -> None:
    async with running_node(project) as node, clock_of(node, project) as clock:
        clock.ahead_us = DAY
        await clock.periodic.refresh()
        await eventually_async(lambda: _has_run(node, 2))

        clock.ahead_us = 0
        runs = await _runs(node)
        await clock.chores.once()

        await eventually_async(lambda: _has_run(node, runs + 2))


async def test_a_schedule_goes_on_after_a_restart_with_a_clock_that_is_right_again(project: Path) -> None:
    async with running_node(project) as node, clock_of(node, project) as clock:
        clock.ahead_us = DAY
        await clock.periodic.refresh()
        await eventually_async(lambda: _has_run(node, 1))

    async with running_node(project, periodic=True) as node:
        runs = await _runs(node)
        await eventually_async(lambda: _has_run(node, runs + 2))


async def test_what_another_node_has_just_fired_is_not_fired_again_by_one_whose_clock_is_behind(project: Path) -> None:
    async with running_node(project) as node, clock_of(node, project) as clock:
        clock.timers.pause()  # what is due by a clock that is behind is due at once
        clock.ahead_us = -5 * SECOND
        await clock.periodic.refresh()
        fired_at = await _next_at(node)
        later = fired_at + 20 * SECOND
        await node.store.fire(Firing(app=APP, name="tick", due_at=fired_at, next_at=later, run=None))

        await clock.periodic.refresh()

        assert await _next_at(node) == later


async def test_a_retry_waits_its_time_anew_when_a_clock_that_was_ahead_is_right_again(tmp_path: Path) -> None:
    project = write_project(tmp_path, TASKS)
    async with running_node(project) as node, clock_of(node, project) as clock:
        run = await node.schedule("crash")
        await eventually_async(lambda: _is(node, run["id"], Status.RETRYING))
        _a_day_ahead(project)
        clock.ahead_us = DAY
        await clock.chores.once()
        clock.ahead_us = 0

        await clock.chores.once()

        detail = await node.store.get(APP, run["id"])
        assert detail.run.next_attempt_at <= node.store.now() + 3600 * SECOND


async def test_only_an_instant_that_was_named_is_waited_for_when_a_clock_that_was_ahead_is_right_again(
    tmp_path: Path,
) -> None:
    project = write_project(tmp_path, TASKS)
    async with running_node(project) as node, clock_of(node, project) as clock:
        later = await node.schedule("crash", after="1h")
        named = await node.schedule("crash", at="2200-01-01T00:00:00Z")
        _a_day_ahead(project)
        clock.ahead_us = DAY
        await clock.chores.once()
        clock.ahead_us = 0

        await clock.chores.once()

        assert (await node.store.get(APP, later["id"])).run.due_at <= node.store.now() + 3600 * SECOND
        assert (await node.store.get(APP, named["id"])).run.due_at > node.store.now() + 10_000 * DAY


async def _runs(node: Node) -> int:
    return (await node.store.count(APP)).get(Status.SUCCEEDED, 0)


async def _has_run(node: Node, runs: int) -> bool:
    return await _runs(node) >= runs


async def _is(node: Node, run: str, status: Status) -> bool:
    return (await node.store.get(APP, run)).run.status is status


async def _next_at(node: Node) -> int:
    [schedule] = await node.store.schedules(APP)
    assert schedule.next_at is not None
    return schedule.next_at


def _a_day_ahead(project: Path) -> None:
    with contextlib.closing(sqlite3.connect(project / ".isolane" / "isolane.db", isolation_level=None)) as connection:
        connection.execute("UPDATE attempts SET finished_at = finished_at + ?", (DAY,))
        connection.execute("UPDATE runs SET due_at = due_at + ?", (DAY,))
