"""What tasks are made of works under the filter, at each level, alone and warm."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from sandbox import Level, Limits, WarmUp
from support.warm import need_zygotes

LIMITS = Limits(memory_bytes=512 << 20, processes=64, disk_bytes=16 << 20, open_files=256)


@pytest.mark.parametrize("warm", [False, True], ids=["alone", "warm"])
async def test_at_full(sandbox, actor, tmp_path, warm):
    spec = actor.spec("at_full", module="everyday", limits=LIMITS)
    if warm:
        need_zygotes(tmp_path)
        spec = dataclasses.replace(spec, warm_up=WarmUp(entry="builtins:__import__", arguments=("actor",)))
        assert not await sandbox.warm_up(spec)

    assert await failed(sandbox, actor, spec) == {}


async def test_at_each_level(sandbox_at_each_level, actor, level):
    entry = "at_full" if level is Level.FULL else "everywhere"

    assert await failed(sandbox_at_each_level, actor, actor.spec(entry, module="everyday", limits=LIMITS)) == {}


async def failed(sandbox, actor, spec):
    confined = await sandbox.launch(spec)
    assert spec.warm_up is None or confined.walls.endswith("; warm")
    async with asyncio.timeout(60):
        ended = await actor.finish(confined)
    assert ended.outcome.exit_code == 0, ended.stderr
    (answer,) = ended.frames
    return answer["failed"]
