"""The things that `sandbox_speed` measures of the sandbox alone, each as one call."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from runner.catalog.confinement import PACKAGES, PRELOAD
from sandbox import Confined, Limits, Mount, Sandbox, Spec, WarmUp

FLOOR = Path(__file__).with_name("floor.py")
LIMITS = Limits(memory_bytes=256 << 20, processes=64)
INSIDE = """
def answer(channel):
    channel.send({})

def linger(channel):
    channel.send({})
    channel.receive()
"""
GUEST = "runner.guest.main:main"
TASK = "def run(parameters):\n    return None\n"
START = {
    "type": "start",
    "module": "trivial",
    "function": "run",
    "parameters": {},
    "limits": {"parameters_bytes": 1 << 20, "result_bytes": 1 << 20},
    "context": {},
}
PLAIN = {
    "python -I -S": [sys.executable, "-I", "-S", "-c", "pass"],
    "python": [sys.executable, "-c", "pass"],
    "bwrap --unshare-all": ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "true"],
}


class FloorProcess:
    """A bare Python that makes floors."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", str(FLOOR)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self, times: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{times}\n")
        self._process.stdin.flush()

    def end(self) -> list[float]:
        assert self._process.stdout is not None
        return [float(each) for each in self._process.stdout.readline().split()]

    def take(self, times: int) -> list[float]:
        self.begin(times)
        return self.end()

    def close(self) -> None:
        self._process.communicate()


def sandbox_in(folder: Path, *preload: str) -> Sandbox:
    """As a node has it."""
    return Sandbox(lock_file=folder / "lock", packages=PACKAGES, preload=(*PRELOAD, *preload))


def write_code(folder: Path) -> Path:
    """A snapshot of code, as the catalog keeps them."""
    (folder / "tasks").mkdir(parents=True)
    (folder / "inside.py").write_text(INSIDE)
    (folder / "tasks" / "trivial.py").write_text(TASK)
    return folder


def cold_spec(code: Path, entry: str) -> Spec:
    """The spec of an attempt that finds nothing done."""
    return Spec(
        entry=entry,
        limits=LIMITS,
        mounts=(Mount(source=str(code), target="/code"),),
        path=("/code",),
        environment={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        name="bench",
    )


def warm_spec(code: Path, entry: str) -> Spec:
    """The spec of an attempt for which is prepared what can be: this is the one place that says what."""
    warm_up = WarmUp(entry="builtins:__import__", arguments=("inside",))
    if entry == GUEST:
        warm_up = WarmUp(entry="runner.guest.main:warm_up", arguments=("", "trivial"))
    return dataclasses.replace(cold_spec(code, entry), warm_up=warm_up)


async def finish(confined: Confined) -> float:
    """Kill it, as an attempt is killed once it has answered, and wait until it is dead; when that was."""
    confined.kill()
    await confined.wait()
    ended = time.perf_counter()
    os.close(confined.stdout)
    os.close(confined.stderr)
    return ended


async def function_attempt(sandbox: Sandbox, spec: Spec) -> float:
    """Seconds of an attempt that answers one frame."""
    begin = time.perf_counter()
    confined = await sandbox.launch(spec)
    assert await confined.receive() == {}
    return await finish(confined) - begin


async def guest_attempt(sandbox: Sandbox, spec: Spec) -> float:
    """Seconds of an attempt at a trivial task, by the guest that every task has."""
    begin = time.perf_counter()
    confined = await sandbox.launch(spec)
    await confined.send(START)
    answer = await confined.receive()
    assert answer == {"type": "response", "result": None}, answer
    return await finish(confined) - begin


_numbers = itertools.count()


async def cold_attempt(sandbox: Sandbox, folder: Path) -> float:
    """Seconds of the first attempt with code that was never seen before."""
    code = write_code(folder / f"cold-{next(_numbers)}")
    return await guest_attempt(sandbox, warm_spec(code, GUEST))


async def rate(sandbox: Sandbox, spec: Spec, *, at_once: int, times: int) -> float:
    """Attempts a second with so many under way at any time."""
    left = iter(range(times))

    async def work() -> None:
        for _ in left:
            await guest_attempt(sandbox, spec)

    begin = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(at_once)))
    return times / (time.perf_counter() - begin)


def floor_rate(processes: list[FloorProcess], times: int) -> float:
    """Floors a second, in all of the processes at once."""
    begin = time.perf_counter()
    for process in processes:
        process.begin(times)
    for process in processes:
        process.end()
    return len(processes) * times / (time.perf_counter() - begin)


def plain_process(command: list[str]) -> float | None:
    """Seconds of a whole process without a sandbox of ours; `None` where it cannot be had."""
    begin = time.perf_counter()
    try:
        ended = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        return None
    return time.perf_counter() - begin if ended.returncode == 0 else None


async def step_times(sandbox: Sandbox) -> list[tuple[str, float]]:
    """What one attempt is made of, in order; the launcher has preloaded `timed_steps`."""
    begin = time.monotonic()
    confined = await sandbox.launch(Spec(entry="timed_steps:report", limits=LIMITS, name="bench"))
    frame: Any = await confined.receive()
    heard = time.monotonic()
    await finish(confined)
    ended = time.monotonic()
    spans = [("", begin, begin), *frame["spans"], ("its first frame", frame["entered"], heard)]
    parts = []
    for (before, _, left), (name, entered, done) in itertools.pairwise(spans):
        if not before:
            parts.append(("handing over, clone with namespaces", entered - left))
        elif name == "cgroup":
            parts.append(("fork of the task", entered - left))
        elif name == "its first frame":
            parts.append(("streams, its entry", entered - left))
        parts.append((name, done - entered))
    return [*parts, ("exit, end of the namespaces, reaping", ended - heard)]


async def attempt_memory(sandbox: Sandbox, spec: Spec, at_once: int = 8) -> float:
    """Bytes, proportionally shared, of the processes of an attempt that waits while others do."""
    waiting = [await sandbox.launch(spec) for _ in range(at_once)]
    for confined in waiting:
        await confined.receive()
    size = sum(_pss(confined.pid) for confined in waiting) / at_once
    for confined in waiting:
        await confined.send({})
        await finish(confined)
    return size


def plain_memory(command: list[str]) -> float | None:
    """The same of a process that waits on its standard input, in place of `pass` or `true`."""
    waits = ["cat" if part == "true" else "input()" if part == "pass" else part for part in command]
    try:
        process = subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        return None
    with process:
        time.sleep(0.2)  # it says nothing when it is ready
        size = _pss(process.pid) if process.poll() is None else None
        process.communicate(b"\n")
    return size


def _pss(pid: int) -> float:
    root = psutil.Process(pid)
    total = 0
    for process in [root, *root.children(recursive=True)]:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
    return total
