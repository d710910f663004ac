"""What stand-alone use refuses, with the reason and what to do about it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import LauncherError, Level, Limits, Sandbox
from support.standalone import JOBS, job, until_one_runs

pytestmark = pytest.mark.usefixtures("nothing_temporary_is_left")


def nested():
    def inner():
        pass

    return inner


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda: 1, "is a lambda"),
        (nested(), "is defined inside another function"),
        ([].append, "has no name by which"),
        (Path().exists, f"is not what `{Path.exists.__module__}.{Path.exists.__qualname__}` names"),
        ("work", "names no function"),
        ("no_such_module:work", "there is no module 'no_such_module' on sys.path"),
        ("jobs.py:a b", "names no function"),
    ],
)
async def test_a_function_without_a_name_to_find_it_by_is_refused(box, function, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        await box.call(function)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([{1}], "arguments[0] is a set; pass it as a list"),
        ([0, {"a": [object()]}], 'arguments[1]["a"][0] is an object, which is not JSON'),
        ([signal.SIGTERM], "arguments[0] is a member of the enum Signals; pass its value: value.value"),
        ([{1: 2}], "arguments[0] has a key that is an int; JSON keys are text"),
        ([float("nan")], "arguments[0] is nan"),
        (["\ud800"], "half a character (a lone surrogate)"),
        ([10**5000], "arguments[0] has about 5001 digits"),
        (["x" * (17 << 20)], "arguments takes more than 16777216 bytes as JSON"),
    ],
    ids=["type", "deep type", "enum", "key", "nan", "surrogate", "digits", "size"],
)
async def test_arguments_that_are_not_json_are_refused_with_their_place(box, arguments, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        await box.call(job("echo"), *arguments)


async def test_arguments_that_contain_themselves_are_refused(box):
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="contains itself"):
        await box.call(job("echo"), endless)


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf"), 1e12])
async def test_a_timeout_that_is_none_is_refused(box, timeout_s):
    with pytest.raises(ValueError, match=r"timeout_s is .*; it is above 0 and at most"):
        await box.call(job("echo"), timeout_s=timeout_s)


@pytest.mark.parametrize("name", ["memory_bytes", "processes", "disk_bytes", "open_files", "cpus"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_that_the_kernel_would_take_for_none_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; a"):
        Limits(**{name: value})


async def test_arguments_that_are_one_text_are_refused(box):
    with pytest.raises(TypeError, match=re.escape("pass a list: ['--all']")):
        await box.run(JOBS, "--all")


async def test_a_file_that_is_not_there_is_refused(box, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"there is no file {tmp_path}/none.py"):
        await box.run(tmp_path / "none.py")
    with pytest.raises(IsADirectoryError, match="name a Python file in it"):
        await box.run(tmp_path)


def test_on_another_system_the_import_says_what_it_needs():
    code = "import sys; sys.platform = 'darwin'; from sandbox import Sandbox"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "ImportError: sandbox needs Linux, and this is darwin" in done.stderr


async def test_a_level_that_cannot_be_had_is_refused_with_what_to_do_about_it():
    """Within a sandbox there is none."""
    async with Sandbox(level=Level.FULL) as sandbox:
        outcome = await sandbox.call(job("start_a_sandbox"))

    assert outcome.error.type == "SetupError"
    assert "level full cannot be had on this host; to get it: " in outcome.error.traceback


async def test_where_no_walls_can_be_had_one_is_warned(monkeypatch):
    async def only_basic(attempt, demanded):
        return Level.BASIC, await attempt(Level.BASIC)

    monkeypatch.setattr("sandbox.host.probe.strongest", only_basic)
    with pytest.warns(RuntimeWarning, match=r"can do whatever you can do.*To get walls: "):
        async with Sandbox() as sandbox:
            assert (await sandbox.call(job("echo"), 1)).value == [[1], {}]
    async with Sandbox(level=Level.BASIC):
        pass  # and nothing is warned of what was asked for


async def test_a_launcher_that_dies_is_told(box):
    running = asyncio.create_task(box.call(job("hang")))
    await until_one_runs(box)
    os.kill(box._link._process.pid, signal.SIGKILL)

    with pytest.raises(LauncherError):
        await running
