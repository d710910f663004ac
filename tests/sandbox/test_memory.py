"""The limit on memory: the kernel's where there is a cgroup, and then told by evidence."""

from __future__ import annotations

import asyncio
import os

import pytest

from sandbox import Limits, Mount
from support.waiting import eventually_async


@pytest.fixture
async def limited(sandbox):
    if "cgroup v" not in sandbox.walls.partition("limits:")[2]:
        pytest.skip("no cgroup can be had here")
    return sandbox


@pytest.mark.parametrize("entry", ["bomb_memory", "bomb_memory_in_a_child"])
async def test_memory_without_bound_is_killed_and_told(limited, actor, entry):
    confined = await limited.launch(actor.spec(entry, limits=Limits(memory_bytes=64 << 20)))
    assert confined.limits_memory

    async with asyncio.timeout(20):
        await confined.memory_killed()
    assert confined.memory_kills() > 0
    confined.kill()
    ended = await actor.finish(confined)

    assert ended.outcome.memory_kills > 0
    assert 48 << 20 < ended.outcome.peak_memory_bytes <= 64 << 20
    assert confined.limits_memory


async def test_an_alarm_without_a_kill_keeps_the_event_loop_from_nothing(limited, actor, tmp_path):
    """In version 2 there is one whenever files that were read or written are let go of, at the limit."""
    mounts = (Mount(source=str(tmp_path), target="/shared", writable=True),)
    confined = await limited.launch(actor.spec("evaluate", limits=Limits(memory_bytes=64 << 20), mounts=mounts))
    confined._alarmed = alarmed = _CountedEvent()
    watching = asyncio.create_task(confined.memory_killed())

    await confined.send({"eval": "fill('/shared/big', 100 << 20)"})
    assert await confined.receive() == {"value": None}
    if "v1" in limited.walls.partition("limits:")[2]:
        os.eventfd_write(confined._group.alarm, 1)
    await eventually_async(lambda: alarmed.times)
    await eventually_async(lambda: not alarmed.is_set())

    assert alarmed.times < 10
    assert not watching.done()
    watching.cancel()
    confined.kill()
    assert (await actor.finish(confined)).outcome.memory_kills == 0


class _CountedEvent(asyncio.Event):
    times = 0

    def set(self):
        self.times += 1
        super().set()


async def test_the_kill_is_counted_when_nobody_waited_for_it(limited, actor):
    confined = await limited.launch(actor.spec("bomb_memory", limits=Limits(memory_bytes=64 << 20)))

    ended = await actor.finish(confined)

    assert ended.outcome.signal == 9
    assert ended.outcome.memory_kills > 0
    await confined.memory_killed()


async def test_scratch_space_counts_as_memory(limited, actor):
    limits = Limits(memory_bytes=64 << 20, disk_bytes=512 << 20)
    confined = await limited.launch(actor.spec("evaluate", limits=limits))
    await confined.send({"eval": "fill('/tmp/big', 256 << 20)"})

    ended = await actor.finish(confined)

    assert ended.outcome.memory_kills > 0


async def test_cpu_is_limited_and_counted(limited, actor):
    confined = await limited.launch(actor.spec("evaluate", limits=Limits(cpus=0.2)))
    await confined.send({"eval": "spin(0.2)"})
    assert await confined.receive() == {"value": None}
    confined.kill()

    outcome = (await actor.finish(confined)).outcome

    assert outcome.cpu_time_s >= 0.2
    assert outcome.wall_time_s > 2 * outcome.cpu_time_s


async def test_waiting_for_a_memory_kill_that_does_not_come_is_endless(sandbox, actor):
    confined = await sandbox.launch(actor.spec("nothing"))
    watching = asyncio.create_task(confined.memory_killed())

    await actor.finish(confined)

    done, _ = await asyncio.wait([watching], timeout=0.1)
    assert not done
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
