"""Standard output that cannot be written: one line that says so, exit code 1, no traceback."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Project, command, environment


def full() -> dict[str, Any]:
    return {"stdout": Path("/dev/full").open("wb")}


def closed() -> dict[str, Any]:
    return {"preexec_fn": lambda: os.close(1)}


def unread() -> dict[str, Any]:
    outside, inside = os.pipe()
    os.close(outside)
    return {"stdout": os.fdopen(inside, "wb")}


def _call(folder: Path, *arguments: str, **output: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(),
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=60,
        check=False,
        **output,
    )
    if "stdout" in output:
        output["stdout"].close()
    return done


COMMANDS = pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["runs", "list"],
        ["runs", "list", "--json"],
        ["runs", "show", "RUN"],
        ["runs", "logs", "RUN"],
        ["tasks", "list"],
        ["queues", "list", "--json"],
        ["nodes", "list"],
        ["schedule", "greet", "--parameters", '{"name": "Ada"}'],
        ["run", "greet", "--parameters", '{"name": "Ada"}'],
        ["config", "check"],
    ],
    ids=" ".join,
)


@COMMANDS
@pytest.mark.parametrize(("output", "why"), [(full, "No space left on device"), (closed, "Bad file descriptor")])
def test_one_line_says_why_it_cannot_be_written(
    project: Project, a_run: str, arguments: list[str], output: Callable[[], dict[str, Any]], why: str
) -> None:
    done = _call(project.folder, *(a_run if word == "RUN" else word for word in arguments), **output())

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: standard output cannot be written: {why}"
    assert "Traceback" not in done.stderr


@COMMANDS
def test_a_reader_that_stops_reading_is_no_error(project: Project, a_run: str, arguments: list[str]) -> None:
    done = _call(project.folder, *(a_run if word == "RUN" else word for word in arguments), **unread())

    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.fixture(scope="module")
def a_run(project: Project) -> str:
    run = project.schedule("greet", "--parameters", '{"name": "Ada"}')
    assert project("runs", "wait", run).returncode == 0
    return run
