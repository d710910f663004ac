"""What tasks do with other tasks: schedule them, wait for them, tie them to their own success."""

from __future__ import annotations

from pathlib import Path

from runner.app import APP
from runner.domain.options.run_filter import RunFilter
from support.nodes import running_node
from support.projects import CONFIG, write_project

ONE_SLOT = CONFIG.replace("concurrency = 4", "concurrency = 1")

FAMILY = """
    import asyncio
    from runner import Context, Retry, DeadlockError, RunFailedError, getRun, scheduleTask, scheduleTasks, task

    @task
    def child(parameters):
        if parameters.get("fail"):
            raise ValueError("no")
        return parameters["number"] * 2

    @task
    def fan_out(parameters):
        handles = scheduleTasks([{"task": child, "parameters": {"number": number}} for number in range(5)])
        return [handle.result() for handle in handles]

    @task
    async def fan_out_async():
        handles = [await scheduleTask("family.child", {"number": number}) for number in range(5)]
        return await asyncio.gather(*(handle.aresult() for handle in handles))

    @task
    def grandparent():
        return scheduleTask("family.fan_out").result() + [getRun(scheduleTask(child, {"number": 50}).id).result()]

    @task
    def effect(parameters):
        handle = scheduleTask(child, {"number": 1}, with_success=True)
        if parameters["fail"]:
            raise ValueError("so the child never is")
        return handle.id

    @task(queue="alone")
    def deadlock():
        try:
            scheduleTask(child, {"number": 1}, queue="alone").result()
        except DeadlockError as error:
            return str(error)

    @task
    def failing_child():
        try:
            scheduleTask(child, {"fail": True}).result()
        except RunFailedError as error:
            return [error.reason, str(error)]

    @task
    def impatient():
        handle = scheduleTask(child, {"number": 1}, after="1h")
        try:
            handle.result(timeout="50ms")
        except TimeoutError:
            return [handle.status(), handle.is_completed()]

    @task(retry=Retry(attempts=1))
    def again(parameters, context: Context):
        left = parameters["left"]
        if left:
            scheduleTask(context.task, {"left": left - 1})
        return left

    @task
    def before_others():
        first = scheduleTask(child, {"number": 1})
        others = [scheduleTask(child, {"number": number}).id for number in range(5)]
        first.result()
        return others

    @task(timeout="300ms")
    def waits_longer_than_its_timeout():
        return scheduleTask("family.slow").result()

    @task
    def slow():
        import time
        time.sleep(0.6)
        return "slow"
"""


async def test_a_parent_waits_for_children_on_a_node_with_one_slot(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"family.py": FAMILY}, ONE_SLOT)) as node:
        assert (await node.run("family.fan_out"))["result"] == [0, 2, 4, 6, 8]
        assert (await node.run("family.fan_out_async"))["result"] == [0, 2, 4, 6, 8]
        assert (await node.run("family.grandparent"))["result"] == [0, 2, 4, 6, 8, 100]
        assert node.engine.capacity.slots_free == 1


async def test_who_waited_for_another_goes_on_before_anything_new_begins(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"family.py": FAMILY}, ONE_SLOT)) as node:
        parent = await node.run("family.before_others")
        others = [await node.ended(run) for run in parent["result"]]

    assert all(parent["finished_at"] <= other["started_at"] for other in others)


async def test_effects_appear_with_the_success_or_never(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"family.py": FAMILY})) as node:
        failed = await node.run("family.effect", {"fail": True})
        done = await node.run("family.effect", {"fail": False})
        child = await node.ended(done["result"])

        assert failed["status"] == "failed"
        assert (child["parent"], child["result"]) == (done["id"], 2)
        assert (await node.operations.count_runs(APP))["succeeded"] == 2


async def test_waiting_for_what_can_never_start_raises_at_once(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"family.py": FAMILY})) as node:
        run = await node.run("family.deadlock")

        assert "its queue alone is held by run" in run["result"]


async def test_a_failed_child_raises_with_its_reason(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"family.py": FAMILY})) as node:
        reason, message = (await node.run("family.failing_child"))["result"]

        assert reason == "error"
        assert "the task raised ValueError: no" in message


async def test_a_wait_may_have_an_end_of_its_own(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"family.py": FAMILY})) as node:
        assert (await node.run("family.impatient"))["result"] == ["scheduled", False]


async def test_a_task_schedules_itself_by_its_name(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"family.py": FAMILY})) as node:
        first = await node.schedule("family.again", {"left": 3})
        await node.ended(first["id"])
        child = first
        for _ in range(3):
            runs = (await node.store.list(RunFilter(app=APP))).items
            [following] = [each.run.id for each in runs if each.run.parent == child["id"]]
            child = await node.ended(following)
        assert child["result"] == 0


async def test_waiting_does_not_count_as_time(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"family.py": FAMILY})) as node:
        assert (await node.run("family.waits_longer_than_its_timeout"))["result"] == "slow"


TOGETHER = """
    import os, time
    from pathlib import Path
    from runner import scheduleTasks, task

    @task
    def parent():
        handles = scheduleTasks([{"task": "together.child"}] * 4)
        return [handle.result() for handle in handles]

    @task
    def child(parameters, context):
        Path("/shared", context.run).touch()
        while len(os.listdir("/shared")) < 4:  # until all are there
            time.sleep(0.01)
        return "met"
"""


async def test_four_children_of_a_waiting_parent_run_at_once_with_the_defaults_of_a_small_machine(
    tmp_path: Path,
) -> None:
    """Issue 11, row 9: each reserved 1 GB of 2 GB."""
    (tmp_path / "shared").mkdir()
    # What "auto" is on two cores with 4 GB, and no [defaults].
    config = """
        [runner]
        concurrency = 4
        memory = "3GB"
        [[mounts]]
        source = "shared"
        target = "/shared"
        writable = true
    """
    async with running_node(write_project(tmp_path, {"together.py": TOGETHER}, config)) as node:
        assert (await node.run("together.parent"))["result"] == ["met"] * 4
