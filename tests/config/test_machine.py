"""What "auto" comes to: a small machine runs as many tasks of the defaults at once as it has slots. Issue 11, row 9."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from runner.config import machine, read_settings


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores and 4 GB, and no cgroup with a limit."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=4 << 30))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(machine, "_cgroup_limits", list)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("runner", [{}, {"concurrency": "auto", "memory": "auto"}], ids=["nothing", "auto"])
def test_a_small_machine_has_memory_for_as_many_as_it_has_slots_and_one_that_waits_for_them(runner: dict) -> None:
    settings = read_settings({"runner": runner}, file=Path("isolane.toml"), project=Path())
    each = settings.task_options("any", {}).memory_bytes

    assert (settings.runner.concurrency, settings.runner.memory_bytes) == (4, 3 << 30)
    assert settings.runner.memory_bytes >= (settings.runner.concurrency + 1) * each


@pytest.mark.usefixtures("small")
def test_a_limit_of_the_cgroup_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cgroup_limits", lambda: [2 << 30, 1 << 30, 1 << 62])

    assert machine.memory_bytes() == 768 << 20


def test_this_machine_has_something() -> None:
    assert machine.concurrency() >= 4
    assert 16 << 20 <= machine.memory_bytes() <= psutil.virtual_memory().total
