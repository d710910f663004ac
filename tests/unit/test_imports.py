"""What an import costs: tasks pay for it in every attempt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import runner

_ROOT = Path(runner.__file__).parent.parent

#: What costs milliseconds, and a plain sync task has no use for.
_HEAVY = {
    "aiohttp",
    "ast",
    "asyncio",
    "concurrent.futures",
    "dataclasses",
    "datetime",
    "difflib",
    "hashlib",
    "http",
    "inspect",
    "ipaddress",
    "logging",
    "pathlib",
    "pydantic",
    "random",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "traceback",
    "uuid",
}


def loaded_by(statement: str) -> set[str]:
    code = (
        f"import sys; sys.path.insert(0, {str(_ROOT)!r}); before = set(sys.modules); {statement}; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_runner_loads_nothing():
    assert loaded_by("import runner") - {"__future__"} == {"runner"}


@pytest.mark.parametrize(
    "statement",
    [
        "from runner import task; task(queue='q', timeout='30s', memory='1GB')(lambda: None)",
        "from runner import scheduleTask, getRun, Context, RunFailedError",
        "import runner.guest.main",
    ],
)
def test_what_a_plain_task_loads_is_light_and_of_the_standard_library(statement):
    loaded = loaded_by(statement)

    assert not loaded & _HEAVY
    assert {name.partition(".")[0] for name in loaded} <= sys.stdlib_module_names | {"runner", "sandbox"}


def test_every_public_name_is_there():
    for name in runner.__all__:
        assert getattr(runner, name) is not None
    assert set(runner.__all__) <= set(dir(runner))
    with pytest.raises(AttributeError, match="has no attribute 'schedule'"):
        runner.schedule  # noqa: B018


def test_both_spellings_are_one_object():
    assert runner.scheduleTask is runner.schedule_task
    assert runner.scheduleTasks is runner.schedule_tasks
    assert runner.getRun is runner.get_run
    assert runner.Client.scheduleTask is runner.Client.schedule_task
    assert runner.AsyncClient.getRun is runner.AsyncClient.get_run
