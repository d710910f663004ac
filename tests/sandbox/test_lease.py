"""Attempts end with their lease, by their supervisor's hand, whatever became of who should have extended it."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import sandbox as package
from sandbox import Lease, Level, SetupError, WarmUp
from sandbox.protocol.lease import boot_clock_ns
from support.waiting import eventually

SECOND = 10**9

HOLDER = """
import asyncio, sys
from pathlib import Path
from sandbox import Lease, Level, Mount, Sandbox, Spec
from sandbox.protocol.lease import boot_clock_ns

async def main(lock, level, inside):
    sandbox = Sandbox(lock_file=Path(lock), level=Level(level))
    await sandbox.start()
    lease = Lease(boot_clock_ns() + 1_000_000_000)
    mounts = (Mount(source=inside, target="/code"),)
    lasting = await sandbox.launch(Spec(entry="actor:sleep", mounts=mounts, path=("/code",)), lease)
    await lasting.receive()
    print(lasting.pid, lease.until_ns, flush=True)
    outcome = await lasting.wait()
    print(outcome.lease_over, flush=True)
    await sandbox.close()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def sandbox(sandbox_at_each_level):
    return sandbox_at_each_level


async def test_an_attempt_is_killed_at_the_end_of_its_lease(sandbox, actor):
    lease = Lease(boot_clock_ns() + SECOND // 2)
    confined = await sandbox.launch(actor.spec("ignore_sigterm"), lease)
    await confined.receive()
    assert not lease.is_over

    ended = await actor.finish(confined)

    assert boot_clock_ns() >= lease.until_ns
    assert ended.outcome.lease_over
    assert (ended.outcome.exit_code, ended.outcome.signal) == (None, None)
    assert ended.outcome.describe_exit() == "was killed at the end of its lease"


async def test_a_warm_attempt_begins_under_its_lease_and_is_killed_at_its_end(sandbox, actor):
    lease = Lease(boot_clock_ns() + 4 * SECOND)
    spec = actor.spec("echo", warm_up=WarmUp(entry="builtins:__import__", arguments=("actor",)))
    unfit = await sandbox.warm_up(spec, lease)
    confined = await sandbox.launch(spec, lease)
    await confined.send({})
    assert await confined.receive() == {}

    assert confined.walls.endswith("; warm") == (not unfit)
    assert not unfit or sandbox.level is not Level.FULL or not confined.limits_memory
    assert (await actor.finish(confined)).outcome.lease_over


async def test_an_attempt_lives_on_while_its_lease_is_extended(sandbox, actor):
    lease = Lease(boot_clock_ns() + SECOND // 2)
    first_end = lease.until_ns
    confined = await sandbox.launch(actor.spec("echo"), lease)

    while boot_clock_ns() < first_end + SECOND:
        assert lease.extend(boot_clock_ns() + SECOND // 2)
        await confined.send({})
        assert await confined.receive() == {}

    assert (await actor.finish(confined)).outcome.lease_over


async def test_a_lease_ends_all_that_was_launched_under_it_and_nothing_else(sandbox, actor):
    lease, other = Lease(boot_clock_ns() + SECOND), Lease(boot_clock_ns() + 3600 * SECOND)
    leased = [await sandbox.launch(actor.spec("sleep"), lease) for _ in range(3)]
    others = [await sandbox.launch(actor.spec("echo"), each) for each in (None, other)]

    for each in leased:
        assert (await actor.finish(each)).outcome.lease_over

    for each in others:
        await each.send({"alive": True})
        assert await each.receive() == {"alive": True}
        each.kill()
        assert not (await actor.finish(each)).outcome.lease_over


async def test_under_a_lease_that_is_over_nothing_of_the_task_runs(sandbox, actor):
    lease = Lease(boot_clock_ns())

    with pytest.raises(SetupError, match="lease: it is over"):
        await sandbox.launch(actor.spec("nothing"), lease)

    assert not lease.extend(boot_clock_ns() + SECOND), "it came back to life"
    assert lease.is_over


async def test_an_attempt_that_ends_in_time_ends_as_without_a_lease(sandbox, actor):
    lease = Lease(boot_clock_ns() + 3600 * SECOND)

    outcome = (await actor.finish(await sandbox.launch(actor.spec("exit_with_three"), lease))).outcome

    assert (outcome.exit_code, outcome.lease_over) == (3, False)


async def test_the_task_does_not_have_the_lease(sandbox, actor):
    confined = await sandbox.launch(actor.spec("evaluate"), Lease(boot_clock_ns() + 3600 * SECOND))
    ask = actor.Inside(confined)

    assert await ask("descriptors()") == [0, 1, 2, 3]
    assert "isolane-lease" not in await ask("Path('/proc/self/maps').read_text()")

    confined.kill()
    await actor.finish(confined)


async def test_an_attempt_is_killed_at_the_end_of_its_lease_also_while_its_runner_is_stopped(tmp_path, level, actor):
    root = str(Path(package.__file__).parent.parent)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock"), level, str(actor.path)],
        env={"PYTHONPATH": root},
        stdout=subprocess.PIPE,
    )
    pid, until_ns = map(int, (await asyncio.to_thread(holder.stdout.readline)).split())
    supervisor = os.pidfd_open(pid)

    holder.send_signal(signal.SIGSTOP)

    eventually(lambda: _has_exited(supervisor), within_s=10)
    assert boot_clock_ns() >= until_ns
    holder.send_signal(signal.SIGCONT)
    assert json.loads(holder.stdout.readline().lower()) is True
    assert holder.wait() == 0
    holder.stdout.close()
    os.close(supervisor)


def _has_exited(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 0)[0])
