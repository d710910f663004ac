"""A task that schedules without end harms only itself; what is kept no longer goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.app import APP
from runner.engine.pruning import prune
from runner.errors import LimitExceededError, NotFoundError
from support.nodes import Node, running_node
from support.projects import CONFIG, settings_of, write_project
from support.waiting import eventually_async

TASKS = """
    from runner import LimitExceededError, scheduleTask, scheduleTasks, task

    @task(memory="64MB")
    def bomb():
        for _ in range(3):
            scheduleTask("flood.bomb")

    @task(memory="64MB")
    def breeds(parameters):
        try:
            for number in range(1000):
                scheduleTask("flood.well", after="1h")
        except LimitExceededError as error:
            return [number, str(error)]

    @task(memory="64MB")
    def well():
        return "well"
"""

LIMITS = CONFIG + "[limits]\nwaiting_per_queue = 40\nchildren_per_run = 10\n"


async def test_a_task_that_multiplies_harms_only_itself(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"flood.py": TASKS}, LIMITS)) as node:
        await node.schedule("flood.bomb")
        await eventually_async(lambda: _failed(node), within_s=30)
        for _ in range(3):
            assert (await node.run("flood.well"))["result"] == "well"

        counts = await node.operations.count_runs(APP)
        assert counts["queued"] + counts["retrying"] <= 40


async def test_a_run_may_have_so_many_children(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"flood.py": TASKS}, LIMITS)) as node:
        number, message = (await node.run("flood.breeds"))["result"]

        assert number == 10
        assert "10" in message


async def test_a_batch_over_the_limit_is_refused_whole(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"flood.py": TASKS}, LIMITS)) as node:
        with pytest.raises(LimitExceededError):
            await node.operations.schedule(APP, [{"task": "flood.well", "after": "1h"}] * 41)

        assert sum((await node.operations.count_runs(APP)).values()) == 0


async def test_final_runs_are_kept_as_long_as_the_config_says(tmp_path: Path) -> None:
    config = CONFIG + '[retention]\nruns = "1h"\nlogs = "1h"\n'
    project = write_project(tmp_path, {"flood.py": TASKS}, config)
    retention = settings_of(project).retention
    async with running_node(project) as node:
        done = await node.run("flood.well")
        waits = await node.schedule("flood.well", after="3h")
        assert await prune(node.store, retention, node.store.now()) == 0

        two_hours_later = node.store.now() + 2 * 3600 * 1_000_000
        assert await prune(node.store, retention, two_hours_later) == 1

        with pytest.raises(NotFoundError):
            await node.operations.show(APP, done["id"])
        assert (await node.operations.show(APP, waits["id"]))["status"] == "scheduled"


async def _failed(node: Node) -> bool:
    return (await node.operations.count_runs(APP))["failed"] > 0
