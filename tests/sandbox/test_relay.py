"""Where no relay is needed or can be had, and how it ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sandbox import Level, SetupError
from sandbox.network import listeners
from support.waiting import eventually_async

RUNNER = """
import asyncio, sys
from pathlib import Path
from sandbox import Level, Mount, Sandbox, Spec

async def main(lock, inside):
    sandbox = Sandbox(lock_file=Path(lock), level=Level.FULL)
    await sandbox.start()
    mounts = (Mount(source=inside, target="/code"),)
    await sandbox.launch(Spec(entry="actor:sleep", mounts=mounts, path=("/code",), network=("localhost:1",)))
    print(sandbox._relay._process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_the_hosts_own_hosts_file_holds_where_its_network_is_shared(sandbox, actor):
    confined = await sandbox.launch(actor.spec("evaluate", network=True))

    assert await actor.Inside(confined)("Path('/etc/hosts').read_text()") == Path("/etc/hosts").read_text()
    confined.kill()
    await actor.finish(confined)


async def test_a_killed_runner_takes_its_relay_along(tmp_path, actor):
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path / "lock"), str(actor.path)],
        env={"PYTHONPATH": str(Path(listeners.__file__).parents[2])},
        stdout=subprocess.PIPE,
    )
    with runner:
        relay = psutil.Process(int(await asyncio.to_thread(runner.stdout.readline)))
        runner.kill()

    await eventually_async(lambda: not relay.is_running() or relay.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize("level", [Level.RESTRICTED, Level.BASIC])
async def test_below_level_full_nothing_is_run(tmp_path, actor, level):
    try:
        sandbox = await actor.start(tmp_path, level)
    except SetupError as error:
        pytest.skip(str(error))
    try:
        with pytest.raises(SetupError, match=f"network: single hosts can be granted at level full only, .* {level}"):
            await sandbox.launch(actor.spec("nothing", network=("localhost:80",)))
    finally:
        await sandbox.close()
