"""What an attempt used is known too where no cgroup counts it, and fits the reason that it ended for."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.nodes import running_node
from support.projects import CONFIG, write_project

TASKS = """
    import os, time
    from runner import task

    @task(memory="96MB", retry={"attempts": 1})
    def hoard():
        kept = [b"x" * (1 << 20) for _ in range(512)]
        time.sleep(60)

    @task(memory="96MB", retry={"attempts": 1})
    def hoard_in_a_child():
        if os.fork() == 0:
            hoard()
        os.wait()

    @task(memory="96MB", timeout="1s", retry={"attempts": 1})
    def spin():
        if os.fork():
            os.wait()
        while True:
            pass

    @task(memory="256MB")
    def use():
        kept = b"x" * (100 << 20)
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
"""


@pytest.fixture(autouse=True)
def _without_cgroups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.host.cgroups.cgroup.find", lambda _: None)


@pytest.mark.parametrize("name", ["hoard", "hoard_in_a_child"])
async def test_what_is_killed_for_memory_used_more_than_its_limit(tmp_path: Path, name: str) -> None:
    async with running_node(write_project(tmp_path, {"memory.py": TASKS}, CONFIG)) as node:
        (attempt,) = (await node.run(f"memory.{name}"))["attempts"]

    assert attempt["reason"] == "out_of_memory"
    assert attempt["why"] == "was killed for using more memory than its limit of 96 MB"
    assert attempt["peak_memory_bytes"] > 96 << 20
    assert attempt["cpu_time_s"] > 0


async def test_what_is_killed_for_its_timeout_used_the_cpu(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"memory.py": TASKS}, CONFIG)) as node:
        (attempt,) = (await node.run("memory.spin"))["attempts"]

    assert attempt["reason"] == "timeout"
    assert attempt["cpu_time_s"] > 0
    assert attempt["peak_memory_bytes"] > 5 << 20


async def test_what_ends_well_used_what_it_used(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"memory.py": TASKS}, CONFIG)) as node:
        (attempt,) = (await node.run("memory.use"))["attempts"]

    assert attempt["reason"] == "success"
    assert 100 << 20 < attempt["peak_memory_bytes"] < 200 << 20
    assert attempt["cpu_time_s"] >= 0.3
