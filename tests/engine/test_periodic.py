"""Schedules whose times passed while nobody ran, and those that only some of several nodes have."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.app import APP
from runner.domain.options.run_filter import RunFilter
from runner.domain.status import Status
from runner.engine.schedules.pace import Pace
from support.loop_pauses import watched_loop
from support.nodes import Node, running_node
from support.postgres import create_database, drop_database, shared_server
from support.projects import CONFIG, write_project
from support.waiting import eventually_async

DAY = 86_400_000_000
CLOCK = """
    from runner import task

    @task(every="1d", catch_up={catch_up!r}, tags=["daily"])
    def chime():
        return "gong"
"""
HOURLY = """
    from runner import task

    @task(every="1h")
    def run():
        pass
"""
SECONDLY = HOURLY.replace("1h", "1s")


MANY = 400
#: Each is due every second, all at once.
CROWD = "from runner import task\n" + "".join(f"@task(every='1s')\ndef t{n}(): ...\n" for n in range(MANY))
HONEST = "def run(): return 'done'\n"


@pytest.fixture(scope="module", autouse=True)
def postgres() -> str:
    """Started before any test looks which processes there are."""
    return shared_server()


@pytest.mark.parametrize(("catch_up", "expected"), [("one", 1), ("all", 3), ("none", 0)])
async def test_missed_firings_are_made_up_for_as_the_task_says(tmp_path: Path, catch_up: str, expected: int) -> None:
    project = write_project(tmp_path, {"clock.py": CLOCK.format(catch_up=catch_up)})
    async with running_node(project, periodic=True) as node:
        following = await _next_at(node)
    first_missed = following - 3 * DAY
    _set_next_at(project, first_missed)

    async with running_node(project, periodic=True) as node:
        await eventually_async(lambda: _has_caught_up(node, following, expected), within_s=30)
        page = await node.store.list(RunFilter(app=APP))

        assert len(page.items) == expected
        due = sorted(detail.run.due_at for detail in page.items)
        if catch_up == "all":
            assert due == [first_missed, first_missed + DAY, first_missed + 2 * DAY]
        assert {detail.run.schedule for detail in page.items} <= {"clock.chime"}


async def test_a_firing_that_is_hardly_late_was_not_missed(tmp_path: Path) -> None:
    project = write_project(tmp_path, {"clock.py": CLOCK.format(catch_up="none")})
    async with running_node(project, periodic=True) as node:
        now = node.store.now()
    _set_next_at(project, now)

    async with running_node(project, periodic=True) as node:
        await eventually_async(lambda: _count(node, Status.SUCCEEDED, 1), within_s=30)


@pytest.mark.alone
async def test_a_file_with_very_many_schedules_keeps_no_other_task_waiting(tmp_path: Path) -> None:
    project = write_project(tmp_path, {"crowd.py": CROWD, "clock.py": SECONDLY, "honest.py": HONEST})
    async with running_node(project, periodic=True) as node, watched_loop() as pauses:
        for _ in range(3):
            assert (await node.run("honest", within_s=5))["result"] == "done"
        await eventually_async(lambda: _fired(node, "clock", 2), within_s=10)
        await eventually_async(lambda: _fired_of_crowd(node, MANY), within_s=60)

    assert pauses.longest_s < 0.1


async def test_the_pace_of_one_keeps_no_other_waiting() -> None:
    pace, order = Pace(), []

    async def work(key: str) -> None:
        async with pace.turn(key):
            order.append(f"{key} begins")
            await asyncio.sleep(0)
            order.append(f"{key} ends")

    await asyncio.gather(work("a"), work("a"), work("b"))

    assert order == ["a begins", "b begins", "a ends", "b ends", "a begins", "a ends"]


async def test_nodes_with_different_tasks_leave_each_other_their_schedules(
    two_projects: Callable[..., list[Path]],
) -> None:
    projects = two_projects({"old.py": HOURLY, "both.py": HOURLY}, {"both.py": SECONDLY, "new.py": HOURLY})
    async with running_node(projects[0], periodic=True) as old, running_node(projects[1], periodic=True) as new:
        before = {state.name: state for state in await new.store.schedules(APP)}
        for node in (old, new, old):
            await node.engine.reload()

        after = {state.name: state for state in await new.store.schedules(APP)}
        assert set(after) == {"old", "both", "new"}
        assert after["both"].rule == "every 1s"  # as the node has it that came last
        assert all(after[name].next_at == before[name].next_at for name in ("old", "new"))
        await eventually_async(lambda: _count_at_least(new, Status.SUCCEEDED, 3), within_s=30)


async def test_a_schedule_waits_for_its_node_to_come_back(two_projects: Callable[..., list[Path]]) -> None:
    projects = two_projects({"lasting.py": HOURLY}, {"rare.py": HOURLY})
    async with running_node(projects[0], periodic=True) as lasting:
        async with running_node(projects[1], periodic=True):
            declared = await lasting.store.schedules(APP)
        await lasting.engine.reload()
        kept = await lasting.store.schedules(APP)

    assert kept[1] == declared[1]
    assert [state.name for state in kept] == ["lasting", "rare"]


async def test_a_task_that_is_no_longer_periodic_loses_its_schedule_at_once(tmp_path: Path) -> None:
    project = write_project(tmp_path, {"clock.py": HOURLY, "other.py": HOURLY})
    async with running_node(project, periodic=True) as node:
        assert len(await node.store.schedules(APP)) == 2
        write_project(project, {"clock.py": "def run():\n    pass\n"})
        await node.engine.reload()

        assert [state.name for state in await node.store.schedules(APP)] == ["other"]


@pytest.fixture
def two_projects(tmp_path: Path) -> Iterator[Callable[..., list[Path]]]:
    """Makes projects of these tasks, whose nodes share one database."""
    server = shared_server()
    database = create_database(server)
    config = CONFIG.replace("[runner]", f'[runner]\nstore = "{database}"')
    yield lambda *folders: [write_project(tmp_path / str(at), tasks, config) for at, tasks in enumerate(folders)]
    drop_database(server, database)


async def _next_at(node: Node) -> int:
    [schedule] = await node.store.schedules(APP)
    assert schedule.next_at is not None
    return schedule.next_at


async def _has_caught_up(node: Node, following: int, runs: int) -> bool:
    return await _next_at(node) >= following and await _count(node, Status.SUCCEEDED, runs)


async def _count(node: Node, status: Status, runs: int) -> bool:
    return (await node.store.count(APP)).get(status, 0) == runs


async def _count_at_least(node: Node, status: Status, runs: int) -> bool:
    return (await node.store.count(APP)).get(status, 0) >= runs


def _set_next_at(project: Path, instant: int) -> None:
    with contextlib.closing(sqlite3.connect(project / ".isolane" / "isolane.db", isolation_level=None)) as connection:
        connection.execute("UPDATE schedules SET next_at = ?", (instant,))


async def _fired(node: Node, name: str, times: int) -> bool:
    page = await node.store.list(RunFilter(app=APP, task=name))
    return len(page.items) >= times


async def _fired_of_crowd(node: Node, count: int) -> bool:
    states = await node.store.schedules(APP)
    return sum(state.last_at is not None and state.name.startswith("crowd.") for state in states) == count
