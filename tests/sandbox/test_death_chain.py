"""Whoever dies, everything below dies too: runner, launcher, supervisor, task."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import sandbox as package
from sandbox import LauncherError, Level, Sandbox

RUNNER = """
import asyncio, json, sys
from pathlib import Path
from sandbox import Level, Mount, Sandbox, Spec

async def main(lock, level, inside, work):
    sandbox = Sandbox(lock_file=Path(lock), level=Level(level))
    await sandbox.start()
    mounts = (Mount(source=inside, target="/code"), Mount(source=work, target=work, writable=True))
    pids = [sandbox._link._process.pid]
    for entry in ("sleep", "stop_itself", "leave_a_daemon", "ignore_sigterm"):
        spec = Spec(entry="actor:" + entry, mounts=mounts, path=("/code",), environment={"WORK": work})
        confined = await sandbox.launch(spec)
        await confined.receive()
        if entry != "leave_a_daemon":
            pids.append(confined.pid)
    print(json.dumps(pids), flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


def process_table():
    table = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state not in "ZX":
                table[int(entry.name)] = int(parent)
    return table


def tree(root):
    table = process_table()
    found = [root]
    for pid in found:
        found += [child for child, parent in table.items() if parent == pid]
    return found


async def until_all_dead(pids):
    async with asyncio.timeout(10):
        while set(pids) & set(process_table()):
            await asyncio.sleep(0.01)


async def start_runner(tmp_path, level, actor):
    root = str(Path(package.__file__).parent.parent)
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path / "lock"), level, str(actor.path), str(tmp_path)],
        env={"PYTHONPATH": root},
        stdout=subprocess.PIPE,
    )
    line = await asyncio.to_thread(runner.stdout.readline)
    return runner, json.loads(line)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_killed_runner_leaves_no_process_and_no_lock(tmp_path, level, actor, number):
    runner, (launcher, *_) = await start_runner(tmp_path, level, actor)
    launched = tree(launcher)
    assert len(launched) >= 7  # the launcher, three supervisors, three tasks

    runner.send_signal(number)
    runner.wait()
    runner.stdout.close()

    successor = Sandbox(lock_file=tmp_path / "lock", level=level)
    await successor.start()
    assert not set(launched) & set(process_table()), "the lock was free before all were dead"
    await successor.close()


async def test_a_killed_launcher_takes_all_attempts_with_it(tmp_path, level, actor):
    sandbox = await actor.start(tmp_path, level)
    confined = [await sandbox.launch(actor.spec("sleep")) for _ in range(3)]
    for each in confined:
        await each.receive()
    launcher = sandbox._link._process.pid
    launched = tree(launcher)

    os.kill(launcher, signal.SIGKILL)

    for each in confined:
        with pytest.raises(LauncherError):
            await actor.finish(each)
    with pytest.raises(LauncherError):
        await sandbox.launch(actor.spec("nothing"))
    await until_all_dead(launched)
    await sandbox.close()
    await sandbox.start()
    await sandbox.close()


async def test_a_launcher_that_dies_amid_launches_fails_them_all(tmp_path, actor):
    sandbox = await actor.start(tmp_path, Level.FULL)
    launches = [asyncio.create_task(sandbox.launch(actor.spec("sleep"))) for _ in range(10)]
    first = await launches[0]

    os.kill(sandbox._link._process.pid, signal.SIGKILL)

    async with asyncio.timeout(10):
        results = await asyncio.gather(*launches, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                assert isinstance(result, (LauncherError, package.SetupError))
            else:
                with pytest.raises(LauncherError):
                    await result.wait()
                os.close(result.stdout)
                os.close(result.stderr)
    assert first is results[0]
    await sandbox.close()


async def test_a_killed_supervisor_takes_its_task_along(tmp_path, level, actor):
    sandbox = await actor.start(tmp_path, level)
    confined = await sandbox.launch(actor.spec("sleep"))
    await confined.receive()
    launched = tree(confined.pid)
    assert len(launched) == 2

    os.kill(confined.pid, signal.SIGKILL)

    assert (await actor.finish(confined)).outcome.exit_code is None
    assert not set(launched) & set(process_table())
    await sandbox.close()


async def test_the_launcher_outlives_a_sigterm_that_is_not_about_its_runner(tmp_path, actor):
    sandbox = await actor.start(tmp_path, Level.FULL)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(sandbox._link._process.pid, number)

    ended = await actor.finish(await sandbox.launch(actor.spec("nothing")))
    assert ended.outcome.exit_code == 0
    await sandbox.close()
