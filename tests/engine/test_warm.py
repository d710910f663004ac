"""Tasks that run again and again start warm, and nothing of that shows but the time it takes."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import psutil
import pytest

from runner.app import APP
from support.nodes import Document, Node, running_node
from support.processes import launchers
from support.projects import CONFIG, write_project
from support.waiting import eventually_async
from support.warm import need_zygotes

GREET = """
    import random
    print("imported")
    count = 0
    def run(parameters):
        global count
        count += 1
        print("hello", parameters.get("name"))
        return [count, random.random()]
"""
#: No run has to wait until it is the third of its task.
AT_ONCE = """
    async def run(parameters):
        import asyncio
        await asyncio.sleep(0)
        return parameters["number"]
"""


@pytest.fixture(autouse=True)
def zygotes_can_be_had(tmp_path: Path) -> None:
    need_zygotes(tmp_path)


async def is_warm(node: Node, run: Document) -> bool:
    document = await node.operations.show(APP, run["id"])
    return [attempt["sandbox"].endswith("; warm") for attempt in document["attempts"]][-1]


async def run_until_warm(node: Node, task: str, parameters: object = None) -> Document:
    """The first run of the task that starts warm."""

    async def warm_run() -> Document | None:
        run = await node.run(task, parameters)
        return run if await is_warm(node, run) else None

    return await eventually_async(warm_run)


def zygotes() -> list[psutil.Process]:
    below = [child for launcher in launchers() for child in launcher.children(recursive=True)]
    return [child for child in below if child.name().startswith("zygote ")]


async def test_a_task_that_runs_again_starts_warm_and_finds_nothing_of_the_runs_before(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"greet.py": GREET})) as node:
        for _ in range(2):
            assert not await is_warm(node, await node.run("greet"))
        first = await run_until_warm(node, "greet")
        second = await node.run("greet")

        assert await is_warm(node, second)
        assert [run["result"][0] for run in (first, second)] == [1, 1]
        assert first["result"][1] != second["result"][1]


async def test_a_warm_attempt_logs_what_it_prints_and_not_what_its_import_printed(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"greet.py": GREET})) as node:
        alone = await node.run("greet", {"name": "Ada"})
        warm = await run_until_warm(node, "greet", {"name": "Bob"})

        assert await node.log(alone["id"]) == ["imported", "hello Ada"]
        assert await node.log(warm["id"]) == ["hello Bob"]


async def test_the_logs_of_warm_attempts_that_run_at_once_are_whole_and_apart(tmp_path: Path) -> None:
    task = "def run(parameters):\n    for line in range(200): print(parameters['name'], line)"
    async with running_node(write_project(tmp_path, {"talk.py": task})) as node:
        await run_until_warm(node, "talk", {"name": "x"})

        runs = [await node.schedule("talk", {"name": f"n{number}"}) for number in range(8)]

        for number, run in enumerate(runs):
            assert await is_warm(node, await node.ended(run["id"]))
            assert await node.log(run["id"]) == [f"n{number} {line}" for line in range(200)]


async def test_async_tasks_start_warm(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"at_once.py": AT_ONCE})) as node:
        await run_until_warm(node, "at_once", {"number": 0})

        runs = [await node.schedule("at_once", {"number": number}) for number in range(8)]

        for number, run in enumerate(runs):
            ended = await node.ended(run["id"])
            assert ended["result"] == number
            assert await is_warm(node, ended)


async def test_tasks_of_one_file_share_a_zygote(tmp_path: Path) -> None:
    tasks = "from runner import task\n@task\ndef one(): return 1\n@task\ndef two(): return 2"
    async with running_node(write_project(tmp_path, {"pair.py": tasks})) as node:
        await run_until_warm(node, "pair.one")

        assert await is_warm(node, await node.run("pair.two"))


async def test_saved_code_is_what_the_very_next_attempt_runs(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"version.py": "def run(): return 0"})) as node:
        await run_until_warm(node, "version")

        for number in range(1, 6):
            write_project(tmp_path, {"version.py": f"def run(): return {number}"})
            await node.engine.reload()

            assert (await node.run("version"))["result"] == number

        assert (await run_until_warm(node, "version"))["result"] == 5


async def test_changed_helpers_are_never_stale(tmp_path: Path) -> None:
    tasks = {"uses.py": "from tasks._helper import number\ndef run(): return number", "_helper.py": "number = 1"}
    async with running_node(write_project(tmp_path, tasks)) as node:
        assert (await run_until_warm(node, "uses"))["result"] == 1

        write_project(tmp_path, {"_helper.py": "number = 2"})
        await node.engine.reload()

        assert (await node.run("uses"))["result"] == 2


async def test_keep_warm_of_no_time_turns_it_off(tmp_path: Path) -> None:
    config = CONFIG + '[sandbox]\nkeep_warm = "0s"\n'
    async with running_node(write_project(tmp_path, {"greet.py": GREET}, config)) as node:
        for _ in range(4):
            assert not await is_warm(node, await node.run("greet"))

        assert zygotes() == []


async def test_what_is_preloaded_is_imported_before_the_task(tmp_path: Path) -> None:
    task = "import sys\nhad = 'decimal' in sys.modules\ndef run(): return [had, 'decimal' in sys.modules]"
    config = CONFIG + '[sandbox]\npreload = ["decimal"]\n'
    async with running_node(write_project(tmp_path, {"looks.py": task}, config)) as node:
        assert (await run_until_warm(node, "looks"))["result"] == [True, True]


@pytest.mark.parametrize(
    ("config", "code", "why"),
    [
        ("", "import threading\nthreading.Thread(target=threading.Event().wait).start()\n", "started 1 thread"),
        ("", "import socket\nkept = socket.socket(socket.AF_UNIX)\n", "opened socket:"),
        (
            '[sandbox]\npreload = ["nothing_of_this_name"]\n',
            "",
            "raised ImportError: [sandbox] preload names nothing_of_this_name, whose import raised ModuleNotFoundError",
        ),
    ],
    ids=["thread", "socket", "preload that is not there"],
)  # fmt: skip
async def test_what_cannot_start_warm_works_and_the_log_says_once_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, config: str, code: str, why: str
) -> None:
    caplog.set_level(logging.INFO, "sandbox.host.warm.zygote_pool")
    async with running_node(
        write_project(tmp_path, {"slow.py": code + "def run(): return 7"}, CONFIG + config)
    ) as node:

        async def told() -> list[str]:
            run = await node.run("slow")
            assert run["result"] == 7
            assert not await is_warm(node, run)
            return [message for message in caplog.messages if "anew" in message]

        await eventually_async(told)
        [line] = await told()

    assert line.startswith(f"slow starts anew for each attempt, which is slower: warming up, it {why}")


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user cannot look into another process's memory")
async def test_no_secret_is_in_a_zygote_nor_left_in_it_by_an_attempt(tmp_path: Path, monkeypatch) -> None:
    secret = "tr0ub4dor" + "-and-" + "horse"
    monkeypatch.setenv("PASSWORD", secret)
    task = """
        from runner import task
        @task(secrets=["PASSWORD"])
        def uses(parameters, context):
            return len(context.secrets["PASSWORD"])
    """
    async with running_node(write_project(tmp_path, {"spy.py": task})) as node:
        assert (await run_until_warm(node, "spy.uses"))["result"] == len(secret)

        found = zygotes()
        assert found
        for process in found:
            memory = memory_of(process.pid)
            assert b"tasks.spy" in memory, "this is not where its memory is"
            assert secret.encode() not in memory
            assert secret.encode() not in Path(f"/proc/{process.pid}/environ").read_bytes()


def memory_of(pid: int) -> bytes:
    """All that a process could read of its own."""
    found = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            place, permissions, *_ = line.split()
            if permissions.startswith("r") and "[v" not in line:
                start, end = (int(each, 16) for each in place.split("-"))
                memory.seek(start)
                found.append(memory.read(end - start))
    return b"".join(found)
