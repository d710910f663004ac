"""Attack 77: an attempt that waits for a run in one thread works on in another. Waiting gives back what is not used."""

from __future__ import annotations

import pytest

from runner.app import APP
from support.nodes import Document, Node, running_node
from support.projects import CONFIG, write_project
from support.waiting import eventually_async

#: Held back by a queue that is paused: due, and so not refused, but it does not start.
HELD = "held"
TASKS = """
    import asyncio, os, subprocess, sys, threading, time
    from runner import DeadlockError, Retry, scheduleTask, task

    once = {"retry": Retry(attempts=1), "memory": "128MB"}

    def wait_in_thread(threads=1):
        for _ in range(threads):
            handle = scheduleTask("waits.nothing", queue="held")
            threading.Thread(target=handle.result, daemon=True).start()

    def idle(parameters):  # seconds, to be taken for one that only waits
        time.sleep(parameters.get("idle_s", 0))

    def burn(seconds=float("inf")):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    @task
    def nothing(parameters):
        return parameters.get("number")

    @task(timeout="500ms", **once)
    def thread(parameters):
        wait_in_thread()
        idle(parameters)
        burn()

    @task(timeout="500ms", **once)
    def many_threads(parameters):
        wait_in_thread(threads=8)
        idle(parameters)
        burn()

    @task(timeout="500ms", **once)
    def bursts(parameters):
        wait_in_thread()
        while True:
            idle(parameters)
            burn(0.05)

    @task(timeout="500ms", **once)
    def child_process(parameters):
        wait_in_thread()
        idle(parameters)
        subprocess.run([sys.executable, "-c", "while True: pass"])

    @task(timeout="500ms", **once)
    async def other_coroutine(parameters):
        waiting = asyncio.create_task((await scheduleTask("waits.nothing", queue="held")).aresult())
        await asyncio.sleep(parameters.get("idle_s", 0))
        await asyncio.to_thread(burn)

    @task(timeout="500ms", **once)
    def after_a_wait_that_failed():
        try:
            scheduleTask("waits.nothing", queue="held").result()
        except Exception:
            burn()

    @task(timeout="20s", **once)
    def grows():
        wait_in_thread()
        kept = []
        for _ in range(100):  # slowly: it is parked somewhere in between, and who works takes its memory back
            kept.append(b"1" * (1 << 20))
            time.sleep(0.05)

    @task(timeout="10s", **once)
    def grows_later():
        handles = [scheduleTask("waits.nothing", {"number": number}) for number in range(3)]
        kept = []
        for handle in handles:
            handle.result()
            kept.append(bytearray(20 << 20))
            kept[-1][::4096] = bytes(len(kept[-1]) // 4096)
        return len(kept)

    @task(timeout="10s", **once)
    async def grows_between():
        async def one(number):
            await (await scheduleTask("waits.nothing", {"number": number})).aresult()
            block = bytearray(16 << 20)
            block[::4096] = bytes(len(block) // 4096)
            return block
        handle = await scheduleTask("waits.nothing", queue="held")
        last = asyncio.create_task(handle.aresult(timeout="2s"))
        kept = await asyncio.gather(*map(one, range(4)))
        last.cancel()
        return len(kept)

    @task(timeout="1s", **once)
    def only_waits(parameters):
        print("waits")
        return scheduleTask("waits.nothing", parameters, queue="held").result()

    @task(timeout="20s", **once)
    def level(parameters):
        left = parameters["left"]
        return 1 + scheduleTask("waits.level", {"left": left - 1}).result() if left else 0

    @task(timeout="10s", **once)
    def too_late(parameters):
        handle = scheduleTask("waits.nothing", after="36000d")
        try:
            handle.result(**parameters)
        except (DeadlockError, TimeoutError) as error:
            return [type(error).__name__, str(error)]

    @task(timeout="none", **once)
    def has_time():
        return scheduleTask("waits.nothing", {"number": 7}, after="100ms").result()

    @task(**once)
    def for_its_own_effect():
        try:
            scheduleTask("waits.nothing", with_success=True).result()
        except DeadlockError as error:
            return str(error)
"""
ONE_SLOT = CONFIG.replace("concurrency = 4", "concurrency = 1")
WORKERS = ["thread", "many_threads", "bursts", "child_process", "other_coroutine"]


@pytest.fixture(params=["cgroup", "measured"])
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With whatever limits memory and counts cpu here, and where no cgroup can be had."""
    if request.param == "measured":
        monkeypatch.setattr("sandbox.host.cgroups.cgroup.find", lambda _: None)


def _node(tmp_path, config: str = CONFIG):
    return running_node(write_project(tmp_path, {"waits.py": TASKS}, config))


async def _hold(node: Node) -> None:
    await node.operations.pause_queue(APP, HELD)


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize("idle_s", [0, 0.3], ids=["at once", "once it is parked"])
@pytest.mark.parametrize("worker", WORKERS)
async def test_cpu_that_is_used_while_waiting_counts_as_time(tmp_path, worker: str, idle_s: float) -> None:
    idle_s = idle_s or 0.02 * (worker == "bursts")
    async with _node(tmp_path) as node:
        await _hold(node)

        run = await node.run(f"waits.{worker}", {"idle_s": idle_s})

        assert (run["status"], run["reason"]) == ("failed", "timeout"), run["why"]
        assert run["attempts"][0]["cpu_time_s"] < 5


async def test_cpu_counts_as_time_in_warm_attempts_too(tmp_path) -> None:
    async with _node(tmp_path) as node:
        await _hold(node)

        runs = [await node.run("waits.thread", {"idle_s": 0.1}) for _ in range(4)]

        assert [run["reason"] for run in runs] == ["timeout"] * 4


@pytest.mark.usefixtures("limits")
async def test_who_works_while_it_waits_takes_its_slot_back(tmp_path) -> None:
    async with _node(tmp_path, ONE_SLOT) as node:
        await _hold(node)
        capacity = node.engine.capacity
        busy = await node.schedule("waits.thread", {"idle_s": 0.3}, timeout="3s")
        await eventually_async(lambda: capacity.has_parked)
        await eventually_async(lambda: not capacity.has_parked)
        assert capacity.slots_free == 0

        other = await node.run("waits.nothing")

        assert other["started_at"] >= (await node.ended(busy["id"]))["finished_at"]


async def test_an_attempt_whose_wait_failed_has_its_time_and_its_slot_again(tmp_path) -> None:
    async with _node(tmp_path) as node:
        await _hold(node)
        run = await node.schedule("waits.after_a_wait_that_failed")
        await eventually_async(lambda: node.engine.capacity.has_parked)
        held = (await node.operations.list_runs(_of("waits.nothing")))["items"][0]

        await node.operations.delete(APP, held["id"])

        assert (await node.ended(run["id"]))["reason"] == "timeout"


@pytest.mark.usefixtures("limits")
async def test_memory_that_was_given_back_cannot_be_taken_meanwhile(tmp_path) -> None:
    async with _node(tmp_path) as node:
        await _hold(node)

        run = await node.run("waits.grows")

        assert (run["status"], run["reason"]) == ("failed", "out_of_memory"), run["why"]
        assert "while it waited for another run: it had given back all but" in run["why"]
        assert run["why"].endswith("of 128 MB")


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize("task", ["grows_later", "grows_between"])
async def test_who_is_answered_has_its_memory_again(tmp_path, task: str) -> None:
    async with _node(tmp_path, ONE_SLOT) as node:
        await _hold(node)

        run = await node.run(f"waits.{task}")

        assert run["status"] == "succeeded", run["why"]


async def test_of_those_that_wait_so_many_give_back_their_slot(tmp_path) -> None:
    config = CONFIG.replace("[defaults]", "waiting_parents = 1\n[defaults]", 1)
    async with _node(tmp_path, config) as node:
        await _hold(node)
        runs = [await node.schedule("waits.only_waits", {"number": number}) for number in range(2)]

        ended = await eventually_async(lambda: _ended(node, runs))  # one has its time run on
        assert [run["reason"] for run in ended] == ["timeout"]
        await node.operations.resume_queue(APP, HELD)
        documents = [await node.ended(run["id"]) for run in runs]

        assert sorted(run["status"] for run in documents) == ["failed", "succeeded"]


@pytest.mark.usefixtures("limits")
async def test_ten_levels_of_parents_wait_on_one_slot(tmp_path) -> None:
    async with _node(tmp_path, ONE_SLOT) as node:
        assert (await node.run("waits.level", {"left": 10}))["result"] == 10
        assert node.engine.capacity.slots_free == 1


async def test_a_wait_that_cannot_end_in_time_is_refused_at_once(tmp_path) -> None:
    async with _node(tmp_path) as node:
        kind, message = (await node.run("waits.too_late"))["result"]
        bounded = (await node.run("waits.too_late", {"timeout": "50ms"}))["result"]

        assert kind == "DeadlockError"
        assert message.count("T") >= 2  # both instants
        assert "is due at 2125" in message
        assert "the time of this run would be over before, at 20" in message
        assert bounded[0] == "WaitTimeoutError"
        assert (await node.run("waits.has_time"))["result"] == 7
        assert "appears with the success of this run" in (await node.run("waits.for_its_own_effect"))["result"]


async def _ended(node: Node, runs: list[Document]) -> list[Document]:
    documents = [await node.operations.show(APP, run["id"]) for run in runs]
    return [document for document in documents if document["finished_at"]]


def _of(task: str):
    from runner.domain.options.run_filter import RunFilter

    return RunFilter(app=APP, task=task)
