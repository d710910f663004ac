"""Hundreds of attempts leave nothing behind, however they end. `make bench-endurance` tries ten thousand."""

from __future__ import annotations

import asyncio
import itertools

from sandbox import Confined
from support.leftovers import look

#: What is run, and what ends it where it does not end by itself.
ENDINGS = {
    "nothing": None,
    "raise_error": None,
    "kill_itself": None,
    "leave_a_daemon": None,
    "send_half_a_frame": None,
    "sleep": Confined.kill,
    "stop_itself": Confined.kill,
    "echo": Confined.terminate,
}
MB = 1 << 20


async def test_five_hundred_attempts_leave_nothing(sandbox, actor):
    endings = itertools.cycle(ENDINGS.items())

    async def attempt():
        entry, end = next(endings)
        confined = await sandbox.launch(actor.spec(entry, environment={"WORK": "/tmp"}))
        if end is not None:
            end(confined)
        await asyncio.gather(confined.wait(), actor.read_all(confined.stdout), actor.read_all(confined.stderr))

    async def attempts(times):
        left = iter(range(times))

        async def work():
            for _ in left:
                await attempt()

        await asyncio.gather(*(work() for _ in range(4)))

    await attempts(len(ENDINGS) * 4)
    before = look(sandbox)

    await attempts(500)

    after = look(sandbox)
    assert after.counts() == before.counts()
    assert after.memory_bytes - before.memory_bytes < 4 * MB
    assert after.launcher_memory_bytes - before.launcher_memory_bytes < 2 * MB
