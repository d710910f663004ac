"""Rows 78, 79 and 88 of the attack table: what the kernel counts by user, and memory that no process's size shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sandbox as package

#: A runner that may open no more than 512 descriptors, and what becomes of others while one attempt sends all it can.
FEW_DESCRIPTORS = """
import asyncio, resource, sys
from pathlib import Path

resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
from sandbox import Mount, Sandbox, Spec

async def main():
    code = Mount(source=sys.argv[2], target="/code")
    spec = lambda entry: Spec(entry=entry, mounts=(code,), path=("/code",))
    sandbox = Sandbox(lock_file=Path(sys.argv[1]) / "lock")
    await sandbox.start()
    evil = await sandbox.launch(spec("actor:evaluate"))
    await evil.send({"eval": "__import__('quotas').fill_flight()"})
    print((await evil.receive())["value"])
    for _ in range(3):
        other = await sandbox.launch(spec("actor:nothing"))
        print((await other.wait()).exit_code)
    await evil.send({"eval": "'alive'"})
    print((await evil.receive())["value"])
    evil.kill()
    await evil.wait()
    await sandbox.close()

asyncio.run(main())
"""


async def test_78_descriptors_on_their_way_do_not_stop_the_runner(arena, actor):
    confined = await arena.launch("attacks:evaluate")
    evil = actor.Inside(confined)
    assert await evil("__import__('quotas').fill_flight()") == repr("ETOOMANYREFS")

    for entry in ("actor:nothing", "attacks:nothing"):
        other = await arena.launch(entry)
        assert (await actor.finish(other)).outcome.exit_code == 0

    assert await evil("1") == "1"
    confined.kill()
    await actor.finish(confined)


@pytest.mark.usefixtures("who")
def test_78_nor_where_the_runner_may_have_no_more_than_they(tmp_path, actor):
    done = subprocess.run(
        [sys.executable, "-c", FEW_DESCRIPTORS, str(tmp_path), str(actor.path)],
        env={"PYTHONPATH": str(Path(package.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.split() == ["ETOOMANYREFS", "0", "0", "0", "alive"], done.stderr
