"""Rows 82 and 86 of the attack table as a node sees them: what is kept warm counts, and who forges has crashed."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.app import APP
from support.nodes import Document, Node, running_node
from support.projects import write_project
from support.waiting import eventually_async
from support.warm import need_zygotes

FORGER = r"""
import json, os, sys
if open("/proc/self/comm").read().startswith("zygote"):
    door = sys.modules["sandbox.protocol.standby_messages"]
    own = door.await_call
    def forge(near):
        own(near)
        said = {"step": "\x1b[2Jstep\nforged", "reason": "\x1b]0;owned\x07no memory on this host", "errno": 12}
        near.send(json.dumps(said).encode())
        os._exit(0)
    door.await_call = forge
def run(): return 1
"""
MB = 1 << 20


@pytest.fixture(autouse=True)
def zygotes_can_be_had(tmp_path: Path) -> None:
    need_zygotes(tmp_path)


async def attempts(node: Node, run: Document) -> list[Document]:
    document = await node.operations.show(APP, run["id"])
    return list(document["attempts"])


async def test_86_a_forged_failure_is_a_crash_that_counts_and_the_next_attempt_starts_anew(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"forger.py": FORGER})) as node:
        found: list[list[Document]] = []

        async def forged() -> bool:
            found.append(await attempts(node, await node.run("forger", retry={"attempts": 2, "first": "0s"})))
            return found[-1][0]["reason"] != "success"

        await eventually_async(forged)

        first, second = found[-1]
        assert [first["reason"], second["reason"]] == ["crash", "success"]
        assert r"\x1b[2Jstep\nforged" in first["why"]
        assert first["why"].isprintable()
        assert first["sandbox"].endswith("; warm")
        assert not second["sandbox"].endswith("; warm")


async def test_82_what_is_kept_warm_fits_into_what_the_node_may_use(tmp_path: Path) -> None:
    hoard = "HOLD = bytearray({} << 20)\nfor place in range(0, len(HOLD), 4096): HOLD[place] = 1\ndef run(): return 1"
    tasks = {f"hoard{number}.py": hoard.format(100) for number in range(4)}
    config = '[runner]\nmemory = "500MB"\n[defaults]\nmemory = "200MB"\n'
    async with running_node(write_project(tmp_path, tasks, config)) as node:
        warm = 0
        for _ in range(4):
            for number in range(4):
                run = await node.run(f"hoard{number}")
                warm += (await attempts(node, run))[-1]["sandbox"].endswith("; warm")
                held = sum(zygote.bytes for zygote in node.engine.sandbox._live.zygotes())
                assert held <= 500 * MB
    assert warm, "no attempt was warm, and so nothing was shown"
