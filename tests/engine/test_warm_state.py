"""What a file does at its top holds for each of its runs, whether the run imported the file or was forked later."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from support.nodes import Document, Node, running_node
from support.projects import write_project
from support.waiting import eventually_async
from support.warm import need_zygotes

#: Changes what a process has one of, and tells in each run what there is then.
SETTLED = """
    import asyncio, decimal, faulthandler, gc, locale, logging, os, resource, signal, socket, sys, threading, warnings

    class Policy(asyncio.DefaultEventLoopPolicy):
        pass

    logging.getLogger().setLevel(logging.ERROR)
    logging.addLevelName(35, "NOTICE")
    logging.captureWarnings(True)
    warnings.simplefilter("error", UserWarning)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    locale.setlocale(locale.LC_ALL, "C")
    decimal.getcontext().prec = 7
    sys.path.insert(0, "/somewhere")
    sys.setrecursionlimit(777)
    sys.setswitchinterval(0.25)
    sys.excepthook = print
    os.environ["SET_AT_TOP"] = "yes"
    os.umask(0o077)
    os.nice(3)
    faulthandler.disable()
    gc.disable()
    gc.set_threshold(11, 12, 13)
    socket.setdefaulttimeout(4)
    threading.stack_size(1 << 20)
    asyncio.set_event_loop_policy(Policy())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (12345, 12345))
    HANDLERS = [type(each).__name__ for each in logging.getLogger().handlers]

    def run():
        root = logging.getLogger()
        return {
            "root": [root.level, [type(each).__name__ for each in root.handlers], HANDLERS],
            "level name": logging.getLevelName(35),
            "warnings": [str(each) for each in warnings.filters], "shown by": str(warnings.showwarning.__module__),
            "signals": [str(signal.getsignal(number)) for number in range(1, 32)],
            "mask": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
            "locale": locale.setlocale(locale.LC_ALL),
            "decimal": decimal.getcontext().prec,
            "path": sys.path, "argv": sys.argv, "recursion": sys.getrecursionlimit(), "switch": sys.getswitchinterval(),
            "hook": sys.excepthook is print,
            "environment": dict(os.environ), "umask": os.umask(0o077), "nice": os.nice(0),
            "faulthandler": faulthandler.is_enabled(),
            "gc": [gc.isenabled(), gc.get_threshold()],
            "timeout": socket.getdefaulttimeout(), "stack": threading.stack_size(),
            "gone": [name for name in ("__main__", "tasks") if name not in sys.modules],
            "policy": type(asyncio.get_event_loop_policy()).__name__,
            "limits": {
                name: resource.getrlimit(getattr(resource, name))
                for name in dir(resource)
                # The processes of an attempt that was forked are limited by its cgroup alone.
                if name.startswith("RLIMIT_") and name != "RLIMIT_NPROC"
            },
            "threads": [threading.active_count(), threading.current_thread() is threading.main_thread()],
            "descriptors": sorted(os.listdir("/proc/self/fd")), "folder": os.getcwd(),
        }
"""
CHATTY = """
    import logging
    logging.basicConfig(level=logging.DEBUG)
    def run():
        logging.debug("a debug line")
        logging.info("an info line")
"""


@pytest.fixture(autouse=True)
def zygotes_can_be_had(tmp_path: Path) -> None:
    need_zygotes(tmp_path)


async def cold_and_warm(node: Node, task: str) -> tuple[Document, Document]:
    """The first run of a task, and the first that was forked."""

    async def warm_run() -> Document | None:
        run = await node.run(task)
        return run if run["attempts"][-1]["sandbox"].endswith("; warm") else None

    first = await node.run(task)
    assert first["status"] == "succeeded", first["error"]
    return first, await eventually_async(warm_run)


async def test_the_process_is_as_the_file_left_it(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"settled.py": SETTLED})) as node:
        cold, warm = await cold_and_warm(node, "settled")

        assert warm["result"] == cold["result"]


async def test_logging_is_as_the_file_set_it_up_and_each_line_is_there_once(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"chatty.py": CHATTY})) as node:
        for run in await cold_and_warm(node, "chatty"):
            assert await node.log(run["id"]) == ["a debug line", "an info line"]


@pytest.mark.parametrize(
    "seeding",
    [
        "import random; random.seed(7)",
        "from random import seed; seed(a=7)",
        "import random; random.setstate(random.Random(7).getstate())",
    ],
)
async def test_a_file_that_seeds_the_shared_generator_gets_its_numbers_in_every_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seeding: str
) -> None:
    caplog.set_level(logging.INFO, "sandbox.host.warm.zygote_pool")
    code = f"{seeding}\ndef run():\n    import random\n    return random.random()\n"
    async with running_node(write_project(tmp_path, {"drawn.py": code})) as node:
        numbers = set()

        async def told() -> list[str]:
            numbers.add((await node.run("drawn"))["result"])
            return [message for message in caplog.messages if "anew" in message]

        [line] = await eventually_async(told)

    assert numbers == {0.32383276483316237}
    assert ", which each attempt has to do for itself" in line
    assert "called random." in line


async def test_a_file_that_uses_the_shared_generator_unseeded_starts_warm_with_other_numbers(tmp_path: Path) -> None:
    code = "import random\nrandom.seed()\nrandom.random()\ndef run(): return random.random()"
    async with running_node(write_project(tmp_path, {"drawn.py": code})) as node:
        cold, warm = await cold_and_warm(node, "drawn")
        another = await node.run("drawn")

        assert len({each["result"] for each in (cold, warm, another)}) == 3
        assert another["attempts"][-1]["sandbox"].endswith("; warm")
