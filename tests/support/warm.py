"""Modules that are warmed up in a zygote, and the processes that do so."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from sandbox import Confined, Sandbox, Spec, WarmUp
from sandbox.host.cgroups import cgroup


def need_zygotes(folder: Path) -> None:
    """Skip the test where attempts cannot be told apart by cgroups, and so none is warm."""
    groups = cgroup.find(folder / "lock")
    if groups is None:
        pytest.skip("no cgroup can be had here, and so no zygote")
    groups.close()


def importing(spec: Spec, code: str) -> Spec:
    """`spec` with a module as its entry that runs `code` when it is imported, and then answers `evaluate`."""
    return replace(
        spec,
        entry="runs_at_import:evaluate",
        environment={"CODE": f"{code}\nimport actor\nvars(actor).update(globals())\nfrom actor import evaluate"},
        warm_up=WarmUp(entry="builtins:__import__", arguments=("runs_at_import",)),
    )


def is_warm(confined: Confined) -> bool:
    """Whether it was forked from a zygote."""
    return confined.walls.endswith("; warm")


def launcher(sandbox: Sandbox) -> psutil.Process:
    """The launcher of a sandbox."""
    assert sandbox._link is not None
    assert sandbox._link._process is not None
    return psutil.Process(sandbox._link._process.pid)


def zygotes(sandbox: Sandbox) -> list[psutil.Process]:
    """Those that have warmed up or are about to; what they forked ahead of need, and has no name yet, is below them."""
    found = []
    for supervisor in supervisors(sandbox):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just been retired
            found += named(supervisor.children(), "zygote ")
    return found


def supervisors(sandbox: Sandbox) -> list[psutil.Process]:
    """The processes that guard them."""
    return named(launcher(sandbox).children(), "isolane-zygote")


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs, and is not just unburied."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def named(processes: list[psutil.Process], prefix: str) -> list[psutil.Process]:
    """Those whose name begins so."""
    found = []
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if each.name().startswith(prefix):
                found.append(each)
    return found


async def run(sandbox, actor, spec):
    """One attempt from beginning to end; whether it was warm."""
    confined = await sandbox.launch(spec)
    assert await actor.Inside(confined)("6 * 7") == 42
    confined.kill()
    await actor.finish(confined)
    return is_warm(confined)
