"""What people do with runs and queues while they wait and run."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from runner.app import APP
from runner.errors import ConflictError
from support.nodes import Document, Node, running_node
from support.processes import launchers
from support.projects import CONFIG, write_project
from support.waiting import eventually_async

MOUNT = """
[[mounts]]
source = "shared"
target = "/shared"
writable = true
"""

TASKS = """
    import os, signal, sys, time
    from pathlib import Path
    from runner import task

    @task
    def well():
        return "well"

    @task
    def charges(parameters, context):
        raise ValueError(context.root)

    @task
    def crashes():
        os._exit(3)

    @task
    def sleeps(parameters, context):
        Path("/shared", context.run).touch()
        time.sleep(3600)

    @task
    def tidies_up(parameters, context):
        def stop(number, frame):
            Path("/shared/tidied").touch()
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        Path("/shared", context.run).touch()
        time.sleep(3600)

    @task
    def quick(parameters, context):
        Path("/shared", context.run).touch()
        while not Path("/shared/go").exists():
            time.sleep(0.01)
        return "finished"
"""


def project(folder: Path, config: str = CONFIG + MOUNT) -> Path:
    (folder / "shared").mkdir()
    return write_project(folder, {"control.py": TASKS}, config)


async def started(node: Node, folder: Path, task: str, **options: object) -> dict[str, object]:
    """Schedule a run, and return once its task is at work."""
    run = await node.schedule(task, **options)
    await eventually_async((folder / "shared" / run["id"]).exists)
    return run


async def test_a_running_run_is_cancelled_and_its_process_is_dead(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        run = await started(node, tmp_path, "control.sleeps")
        shown = await node.operations.cancel(APP, run["id"])
        assert shown["status"] in ("running", "cancelled")
        ended = await node.ended(run["id"])

        assert (ended["status"], ended["reason"], ended["attempt_count"]) == ("cancelled", "cancelled", 1)
        assert ended["why"] == "was cancelled while it ran"
        assert (await node.run("control.well"))["result"] == "well"


async def test_a_cancelled_task_gets_sigterm_first(tmp_path: Path) -> None:
    config = (CONFIG + MOUNT).replace('stop_grace = "200ms"', 'stop_grace = "20s"')
    async with running_node(project(tmp_path, config)) as node:
        run = await started(node, tmp_path, "control.tidies_up")
        await node.operations.cancel(APP, run["id"])
        ended = await node.ended(run["id"])

        assert ended["status"] == "cancelled"
        assert (tmp_path / "shared" / "tidied").exists()


async def test_a_waiting_run_is_cancelled_at_once_and_a_final_one_stays(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        waiting = await node.schedule("control.well", after="1h")
        assert (await node.operations.cancel(APP, waiting["id"]))["status"] == "cancelled"

        done = await node.run("control.well")
        assert (await node.operations.cancel(APP, done["id"]))["status"] == "succeeded"


async def test_a_paused_queue_starts_nothing_and_says_so(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        await node.operations.pause_queue(APP, "mail")
        run = await node.schedule("control.well", queue="mail")
        assert "queue mail is paused since" in (await node.operations.show(APP, run["id"]))["why"]

        await node.operations.resume_queue(APP, "mail")
        assert (await node.ended(run["id"]))["status"] == "succeeded"


async def test_a_held_queue_says_by_whom_and_goes_on_when_it_is_free(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        holder = await started(node, tmp_path, "control.quick", queue="mail")
        second = await node.schedule("control.well", queue="mail")
        shown = await node.operations.show(APP, second["id"])
        assert shown["why"].startswith(f"queue mail is held by run {holder['id']} of task control.quick since")
        assert [row["run"] for row in (await node.operations.show_queue(APP, "mail"))["holders"]] == [holder["id"]]

        (tmp_path / "shared" / "go").touch()
        assert (await node.ended(holder["id"]))["result"] == "finished"
        assert (await node.ended(second["id"]))["result"] == "well"


async def test_a_run_not_started_in_time_expires(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        await node.operations.pause_queue(APP, "mail")
        run = await node.schedule("control.well", queue="mail", expires="50ms")

        assert (await node.ended(run["id"]))["status"] == "expired"


async def test_a_run_is_repeated_by_hand_as_a_new_one(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        first = await node.run("control.well", tags=["a"])
        with pytest.raises(ConflictError, match=r"succeeded: .* force"):
            await node.operations.retry(APP, first["id"])
        again = await node.operations.retry(APP, first["id"], force=True)

        assert (again["replay_of"], again["tags"]) == (first["id"], ["a"])
        assert (await node.ended(again["id"]))["result"] == "well"


async def test_the_first_of_a_chain_of_repeats_is_the_key_for_what_is_done_once(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        first = await node.run("control.charges")
        second = await node.operations.retry(APP, first["id"])
        await node.ended(second["id"])
        third = await node.operations.retry(APP, second["id"])
        runs = [await node.ended(run["id"]) for run in (first, second, third)]

        assert [run["error"]["message"] for run in runs] == [first["id"]] * 3  # `context.root`
        assert [run["root"] for run in runs] == [first["id"]] * 3
        assert [run["replay_of"] for run in runs] == [None, first["id"], second["id"]]


async def test_when_a_run_was_first_due_is_shown_beside_when_it_is_tried_again(tmp_path: Path) -> None:
    config = (CONFIG + MOUNT).replace('first = "10ms"', 'first = "1h"')
    async with running_node(project(tmp_path, config)) as node:
        run = await node.schedule("control.crashes")
        retrying = await eventually_async(lambda: _retrying(node, run))

        assert retrying["due_at"] == run["due_at"] < retrying["next_attempt_at"]
        assert f"attempt 2 is due at {retrying['next_attempt_at'].split('.')[0]}" in retrying["why"]


async def _retrying(node: Node, run: Document) -> Document | None:
    document = await node.operations.show(APP, run["id"])
    return document if document["status"] == "retrying" else None


async def test_a_draining_node_lets_attempts_end_and_gives_back_the_rest(tmp_path: Path) -> None:
    config = (CONFIG + MOUNT).replace('stop_grace = "200ms"', 'stop_grace = "1s"')
    folder = project(tmp_path, config)
    async with running_node(folder) as node:
        ending = await started(node, folder, "control.quick")
        endless = await started(node, folder, "control.sleeps")
        (folder / "shared" / "go").touch()
    async with running_node(folder) as node:
        assert (await node.operations.show(APP, ending["id"]))["result"] == "finished"
        again = await node.operations.show(APP, endless["id"])
        assert again["attempts"][0]["reason"] == "drained"
        await eventually_async(lambda: _attempts(node, endless["id"], 2))
        await node.operations.cancel(APP, endless["id"])
        await node.ended(endless["id"])


async def test_a_claim_that_was_on_its_way_as_its_node_stopped_is_given_back(tmp_path: Path) -> None:
    folder = project(tmp_path)
    async with running_node(folder) as node:
        claim, asked, may_claim = node.store.claim, asyncio.Event(), asyncio.Event()

        async def claim_late(*room):
            asked.set()
            await may_claim.wait()
            return await claim(*room)

        node.store.claim = claim_late
        run = await node.schedule("control.sleeps")
        await asked.wait()
        stopping = asyncio.create_task(node.engine.stop())
        await eventually_async(node.engine._dispatcher._loop_task.done)
        may_claim.set()
        await stopping
        assert launchers() == []
    async with running_node(folder) as node:
        await eventually_async(lambda: _attempts(node, run["id"], 2))
        assert (await node.operations.cancel(APP, run["id"]))["attempts"][0]["reason"] == "drained"
        await node.ended(run["id"])


async def test_a_killed_launcher_loses_the_attempts_and_nothing_else(tmp_path: Path) -> None:
    folder = project(tmp_path)
    async with running_node(folder) as node:
        run = await started(node, folder, "control.quick")
        (folder / "shared" / "go").touch()
        [launcher] = launchers()
        os.kill(launcher.pid, signal.SIGKILL)

        ended = await node.ended(run["id"])
        assert ended["status"] == "succeeded"
        assert {attempt["reason"] for attempt in ended["attempts"]} <= {"lost", "success"}
        assert (await node.run("control.well"))["result"] == "well"


async def test_a_task_that_needs_more_than_the_node_has_says_so(tmp_path: Path) -> None:
    config = CONFIG + MOUNT + '\n[tasks."control.well"]\nmemory = "8GB"\n'
    async with running_node(project(tmp_path, config)) as node:
        run = await node.schedule("control.well")
        shown = await node.operations.show(APP, run["id"])

        assert shown["status"] == "queued"
        assert "more than the 2048 MB that a node has in all" in shown["why"]


async def _attempts(node: Node, run: str, count: int) -> bool:
    return bool((await node.operations.show(APP, run))["attempt_count"] >= count)
