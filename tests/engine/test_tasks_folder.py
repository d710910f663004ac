"""Saving a file is a deploy; a broken file harms nothing."""

from __future__ import annotations

from pathlib import Path

from runner.app import APP
from support.nodes import Node, running_node
from support.projects import CONFIG, write_project
from support.waiting import eventually_async

GOOD = "def run(parameters):\n    return 'good'\n"
CRASHES_FIRST = "import os\ndef run(parameters):\n    os._exit(1)\n"


async def test_a_file_that_does_not_import_shows_its_error_and_harms_nothing(tmp_path: Path) -> None:
    broken = {"raises.py": "raise ValueError('at import')", "exits.py": "import os; os._exit(0)", "good.py": GOOD}
    async with running_node(write_project(tmp_path, broken)) as node:
        listed = await node.operations.list_tasks(APP)
        problems = {problem["module"]: problem for problem in listed["problems"]}

        assert [task["name"] for task in listed["items"]] == ["good"]
        assert problems["raises"]["file"].endswith("raises.py")
        assert "at import" in problems["raises"]["error"]["message"]
        assert "raises.py" in problems["raises"]["error"]["traceback"]
        assert problems["exits"]["error"]["message"]
        assert (await node.run("good"))["result"] == "good"


async def test_a_saved_file_is_used_by_the_next_attempt_of_a_run_that_keeps_failing(tmp_path: Path) -> None:
    config = CONFIG.replace("attempts = 2", "attempts = 1000").replace(
        'first = "10ms"', 'first = "100ms"\nmax = "100ms"'
    )
    folder = write_project(tmp_path, {"job.py": CRASHES_FIRST}, config)
    async with running_node(folder, periodic=True) as node:
        run = await node.schedule("job")
        await eventually_async(lambda: _failed_once(node, run["id"]))
        (folder / "tasks" / "job.py").write_text(GOOD)
        ended = await node.ended(run["id"])

        assert (ended["status"], ended["result"]) == ("succeeded", "good")
        assert len({attempt["code"] for attempt in ended["attempts"]}) == 2


async def test_a_new_file_can_be_scheduled_as_soon_as_it_is_saved(tmp_path: Path) -> None:
    folder = write_project(tmp_path, {"good.py": GOOD})
    async with running_node(folder) as node:
        (folder / "tasks" / "new.py").write_text("def run(parameters):\n    return 'new'\n")

        assert (await node.run("new"))["result"] == "new"


async def test_a_task_whose_file_is_gone_waits_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    folder = write_project(tmp_path, {"job.py": GOOD, "other.py": GOOD})
    async with running_node(folder, periodic=True) as node:
        await node.operations.pause_queue(APP, "q")
        run = await node.schedule("job", queue="q")
        (folder / "tasks" / "job.py").unlink()
        await eventually_async(lambda: _tasks(node, {"other"}))
        await node.operations.resume_queue(APP, "q")
        shown = await node.operations.show(APP, run["id"])
        assert "no node has the task job" in shown["why"]
        assert (await node.run("other", queue="q"))["result"] == "good"

        (folder / "tasks" / "job.py").write_text(GOOD)
        assert (await node.ended(run["id"]))["result"] == "good"


async def test_a_periodic_task_makes_one_run_for_each_firing(tmp_path: Path) -> None:
    source = "from runner import task\n@task(every='1s')\ndef tick():\n    return 'tick'\n"
    async with running_node(write_project(tmp_path, {"clock.py": source}), periodic=True) as node:
        await eventually_async(lambda: _succeeded(node, 2), within_s=20)
        [schedule] = await node.store.schedules(APP)

        assert schedule.next_at % 1_000_000 == 0  # anchored to the epoch, the same on every node


async def _failed_once(node: Node, run: str) -> bool:
    return bool((await node.operations.show(APP, run))["attempt_count"] >= 1)


async def _tasks(node: Node, names: set[str]) -> bool:
    return {task["name"] for task in (await node.operations.list_tasks(APP))["items"]} == names


async def _succeeded(node: Node, count: int) -> bool:
    return bool((await node.operations.count_runs(APP))["succeeded"] >= count)
