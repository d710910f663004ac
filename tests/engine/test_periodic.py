"""Schedules whose times passed while nobody ran."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from runner.app import APP
from runner.domain.status import Status
from runner.store.records import RunFilter
from support.nodes import Node, running_node
from support.projects import write_project
from support.waiting import eventually_async

HOUR = 3_600_000_000
CLOCK = """
    from runner import task

    @task(every="1h", catch_up={catch_up!r}, tags=["hourly"])
    def chime():
        return "gong"
"""


@pytest.mark.parametrize(("catch_up", "expected"), [("one", 1), ("all", 3), ("none", 0)])
async def test_missed_firings_are_made_up_for_as_the_task_says(tmp_path: Path, catch_up: str, expected: int) -> None:
    project = write_project(tmp_path, {"clock.py": CLOCK.format(catch_up=catch_up)})
    async with running_node(project, periodic=True) as node:
        following = await _next_at(node)
    first_missed = following - 3 * HOUR
    _set_next_at(project, first_missed)

    async with running_node(project, periodic=True) as node:
        await eventually_async(lambda: _has_caught_up(node, following, expected), within_s=30)
        page = await node.store.list(RunFilter(app=APP))

        assert len(page.items) == expected
        due = sorted(detail.run.due_at for detail in page.items)
        if catch_up == "all":
            assert due == [first_missed, first_missed + HOUR, first_missed + 2 * HOUR]
        assert {detail.run.schedule for detail in page.items} <= {"clock.chime"}


async def test_a_firing_that_is_hardly_late_was_not_missed(tmp_path: Path) -> None:
    project = write_project(tmp_path, {"clock.py": CLOCK.format(catch_up="none")})
    async with running_node(project, periodic=True) as node:
        now = node.store.now()
    _set_next_at(project, now)

    async with running_node(project, periodic=True) as node:
        await eventually_async(lambda: _count(node, Status.SUCCEEDED, 1), within_s=30)


async def _next_at(node: Node) -> int:
    [schedule] = await node.store.schedules(APP)
    assert schedule.next_at is not None
    return schedule.next_at


async def _has_caught_up(node: Node, following: int, runs: int) -> bool:
    return await _next_at(node) >= following and await _count(node, Status.SUCCEEDED, runs)


async def _count(node: Node, status: Status, runs: int) -> bool:
    return (await node.store.count(APP)).get(status, 0) == runs


def _set_next_at(project: Path, instant: int) -> None:
    with contextlib.closing(sqlite3.connect(project / ".isolane" / "isolane.db", isolation_level=None)) as connection:
        connection.execute("UPDATE schedules SET next_at = ?", (instant,))
