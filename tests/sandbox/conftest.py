"""Real sandboxes on the real kernel, and what is left behind checked after each test."""

# ruff: noqa: PTH115, PTH208 - descriptors are plain names under /proc
from __future__ import annotations

import asyncio
import gc
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox import Confined, Level, Limits, Mount, Outcome, Sandbox, Spec

INSIDE = Path(__file__).parent / "inside"
CODE = Mount(source=str(INSIDE), target="/code")


def make_spec(entry, **options):
    options.setdefault("limits", Limits(memory_bytes=128 << 20, processes=32, disk_bytes=4 << 20, open_files=64))
    mounts = (CODE, *options.pop("mounts", ()))
    return Spec(entry=f"actor:{entry}", mounts=mounts, path=("/code",), **options)


@dataclass
class Ended:
    outcome: Outcome
    frames: list
    stdout: str
    stderr: str


async def read_all(descriptor):
    """Everything from a pipe until its end, and close it."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    try:
        return (await reader.read()).decode()
    finally:
        transport.close()


async def finish(confined: Confined) -> Ended:
    """Wait for the end; give all that it wrote and sent."""
    async with asyncio.timeout(30):
        outcome, stdout, stderr = await asyncio.gather(
            confined.wait(), read_all(confined.stdout), read_all(confined.stderr)
        )
    frames = []
    while (frame := await confined.receive()) is not None:
        frames.append(frame)
    return Ended(outcome, frames, stdout, stderr)


class Inside:
    """Asks a confined process to evaluate expressions."""

    def __init__(self, confined):
        self.confined = confined

    async def __call__(self, expression):
        await self.confined.send({"eval": expression})
        async with asyncio.timeout(20):
            answer = await self.confined.receive()
        assert answer is not None, "it died"
        return answer["value"] if "value" in answer else OSError(answer["errno"], answer["error"])


@pytest.fixture(params=list(Level), ids=str)
async def level(request):
    return request.param


def descriptors():
    return {name: os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if _is_open(name)}


def _is_open(name):
    return Path(f"/proc/self/fd/{name}").is_symlink() and "/proc/" not in os.readlink(f"/proc/self/fd/{name}")


async def start(tmp_path, level):
    sandbox = Sandbox(lock_file=tmp_path / "lock", level=level)
    await sandbox.start()
    return sandbox


@pytest.fixture
async def sandbox(tmp_path):
    """At level full, which every machine that runs these tests must allow."""
    before = descriptors()
    sandbox = await start(tmp_path, Level.FULL)
    yield sandbox
    await sandbox.close()
    gc.collect()
    assert descriptors() == before, "descriptors were left open"
    assert not our_cgroups(tmp_path / "lock"), "cgroups were left"


@pytest.fixture
async def sandbox_at_each_level(tmp_path, level):
    before = descriptors()
    sandbox = await start(tmp_path, level)
    yield sandbox
    await sandbox.close()
    gc.collect()
    assert descriptors() == before, "descriptors were left open"
    assert not our_cgroups(tmp_path / "lock"), "cgroups were left"


def our_cgroups(lock_file):
    import hashlib

    name = "isolane-" + hashlib.sha256(os.fsencode(lock_file.resolve())).hexdigest()[:16]
    return [*Path("/sys/fs/cgroup").glob(f"*/{name}"), *Path("/sys/fs/cgroup").glob(name)]


@pytest.fixture
async def inside(sandbox):
    """A confined process to ask."""
    confined = await sandbox.launch(make_spec("evaluate"))
    yield Inside(confined)
    confined.kill()
    await finish(confined)


@pytest.fixture
def actor():
    """The helpers of this file, since folders of tests are no packages."""
    from types import SimpleNamespace

    return SimpleNamespace(
        spec=make_spec, finish=finish, Inside=Inside, read_all=read_all, start=start, path=INSIDE, cgroups=our_cgroups
    )
