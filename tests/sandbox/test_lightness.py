"""What importing the package costs: a confined process, and the process of the caller."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sandbox


@pytest.mark.parametrize(
    "module",
    [
        "sandbox",
        "sandbox.protocol.channel",
        "sandbox.inner.task",
        "sandbox.inner.call_inside",
        "sandbox.inner.launcher",
    ],
)
def test_what_runs_inside_does_not_load_asyncio(module):
    code = (
        f"import sys; sys.path.insert(0, {str(Path(sandbox.__file__).parent.parent)!r}); import {module}; "
        "print([name for name in ('asyncio', 'runner', 'subprocess', 'random') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


@pytest.mark.parametrize("module", ["runner", "runner.app", "sandbox.api.blocking", "sandbox.host.launching"])
def test_the_process_of_the_caller_loads_nothing_that_runs_in_others(module):
    others = ("sandbox.inner", "sandbox.network")
    code = f"import sys, {module}; print([name for name in sys.modules if name.startswith({others})])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_every_public_name_is_there():
    for name in sandbox.__all__:
        assert getattr(sandbox, name).__name__ == name
    with pytest.raises(AttributeError):
        sandbox.nothing  # noqa: B018
