"""Every way in which an attempt can end: what isolane makes of it, and that the node is well afterwards."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from support.nodes import Node, running_node
from support.processes import is_kept_warm, launchers
from support.waiting import eventually_async

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDINGS = [
    # way, status, reason, attempts, a part of the sentence that says why
    ("returns", "succeeded", "success", 1, "the task returned"),
    ("returns nothing", "succeeded", "success", 1, "the task returned"),
    ("raises", "failed", "error", 1, "ValueError: on purpose"),
    ("raises hostile", "failed", "error", 1, "HostileError"),
    ("recurses", "failed", "error", 1, "RecursionError"),
    ("returns a set", "failed", "error", 1, 'result["deep"][0] is a set'),
    ("returns nan", "failed", "error", 1, "result[0] is"),
    ("returns a surrogate", "failed", "error", 1, "surrogate"),
    ("returns too deep", "failed", "error", 1, "deep"),
    ("returns too much", "failed", "error", 1, "result"),
    ("sys.exit", "failed", "crash", 2, "exited with code 0 without a response"),
    ("os._exit(0)", "failed", "crash", 2, "exited with code 0 without a response"),
    ("os._exit(1)", "failed", "crash", 2, "exited with code 1 without a response"),
    ("segfault", "failed", "crash", 2, "was killed by SIGSEGV"),
    ("kills itself", "failed", "crash", 2, "was killed by SIGKILL"),
    ("closes its channel", "failed", "crash", 2, "closed its channel"),
    ("garbage", "failed", "crash", 2, "sent what is no message"),
    ("oversized", "failed", "crash", 2, "sent what is no message"),
    ("unknown message", "failed", "crash", 2, "sent a message of no known kind"),
    ("two results", "succeeded", "success", 1, "the task returned"),
    ("garbage after a result", "succeeded", "success", 1, "the task returned"),
    ("hoards", "failed", "out_of_memory", 2, "96 MB"),
    ("hoards in a child", "failed", "out_of_memory", 2, "96 MB"),
    ("memory error", "failed", "out_of_memory", 2, "MemoryError"),
    ("sleeps", "failed", "timeout", 2, "passed its timeout of 2s"),
    ("spins", "failed", "timeout", 2, "passed its timeout of 2s"),
    ("ignores sigterm", "failed", "timeout", 2, "passed its timeout of 2s"),
    ("stops itself", "failed", "timeout", 2, "passed its timeout of 2s"),
    ("leaves a daemon", "succeeded", "success", 1, "the task returned"),
    ("leaves a thread", "succeeded", "success", 1, "the task returned"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    project = tmp_path_factory.mktemp("endings") / "project"
    shutil.copytree(Path(__file__).parent / "actor", project)
    (project / "shared").mkdir()
    async with running_node(project) as node:
        yield node


@pytest.mark.parametrize(("way", "status", "reason", "attempts", "why"), ENDINGS, ids=[row[0] for row in ENDINGS])
async def test_an_ending_is_told_truly_and_harms_nothing(
    node: Node, way: str, status: str, reason: str, attempts: int, why: str
) -> None:
    run = await node.run("actor.run_as", {"way": way})

    assert (run["status"], run["reason"], run["attempt_count"]) == (status, reason, attempts), run["why"]
    assert why in run["why"]
    assert [attempt["reason"] for attempt in run["attempts"]] == [reason] * attempts
    assert "\n" not in run["why"]
    await eventually_async(lambda: not _attempts_alive(), within_s=2)
    assert (await node.run("actor.well"))["result"] == "well"


async def test_the_first_of_two_results_stands(node: Node) -> None:
    assert (await node.run("actor.run_as", {"way": "two results"}))["result"] == "first"


def _attempts_alive() -> list[psutil.Process]:
    """What runs below this process's launchers: attempts that should be dead."""
    return [
        process
        for launcher in launchers()
        for process in launcher.children(recursive=True)
        if not is_kept_warm(process) and process.status() != psutil.STATUS_ZOMBIE
    ]
