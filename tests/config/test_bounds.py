"""`[[bounds]]`: all that cover a task hold together; what was asked for is refused, what was not is lowered."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.config import read_settings
from runner.errors import ConfigError, InvalidOptionError


def settings(*bounds: dict, **sections: dict):
    return read_settings({"bounds": list(bounds), **sections}, file=Path("isolane.toml"), project=Path())


def test_all_entries_that_cover_a_task_hold_together_in_any_order() -> None:
    wide, narrow = {"tasks": ["a.*"], "memory": "1GB"}, {"tasks": ["*"], "memory": "64MB", "processes": 8}

    for order in ((wide, narrow), (narrow, wide)):
        options = settings(*order).task_options("a.b", {})
        assert (options.memory_bytes, options.processes) == (64 << 20, 8)
        with pytest.raises(InvalidOptionError, match=r"memory of task a\.b exceeds"):
            settings(*order).task_options("a.b", {"memory": "65MB"})


def test_what_is_within_stays_as_it_is_and_other_tasks_are_free() -> None:
    config = settings({"tasks": ["a"], "memory": "64MB", "network": ["h:1"], "timeout": "none"})

    assert config.task_options("a", {"memory": "32MB", "timeout": "none"}).memory_bytes == 32 << 20
    assert config.task_options("a", {"network": ["h:1"]}).network == ("h:1",)
    assert config.task_options("b", {"network": True}).network is True


@pytest.mark.parametrize(
    ("bound", "asked"),
    [
        ({"network": False}, {"network": True}),
        ({"network": False}, {"network": ["h:1"]}),
        ({"network": []}, {"network": ["h:1"]}),
        ({"network": ["*:443"]}, {"network": ["h:443", "h:4430"]}),
        ({"secrets": []}, {"secrets": ["S"]}),
        ({"cpus": 0.5}, {"cpus": "none"}),
        ({"timeout": "1m"}, {"timeout": "none"}),
        ({"queues": []}, {"queue": "q"}),
    ],
)
def test_more_than_a_bound_is_refused_from_the_file_and_from_an_override(bound: dict, asked: dict) -> None:
    (key,) = bound
    (option,) = asked
    told = rf"^{option} of task t exceeds what the config allows: got .*, and bounds\[0\]\.{key} of isolane.toml"

    with pytest.raises(InvalidOptionError, match=told):
        settings({"tasks": ["t"], **bound}).task_options("t", asked)
    with pytest.raises(InvalidOptionError, match=told):
        settings({"tasks": ["t"], **bound}, tasks={"t": asked}).task_options("t", {})


@pytest.mark.parametrize(
    ("bound", "defaults", "lowered"),
    [
        ({"network": ["*.org:1"]}, {"network": True}, ("network", False)),
        ({"network": ["*.org:1"]}, {"network": ["a.org:1", "b.com:1"]}, ("network", ("a.org:1",))),
        ({"network": ["A.org:1"]}, {"network": ["a.ORG:1"]}, ("network", ("a.org:1",))),
        ({"secrets": ["A"]}, {"secrets": ["A", "B"]}, ("secrets", ("A",))),
        ({"cpus": 0.5}, {}, ("cpus", 0.5)),
        ({"timeout": "1m"}, {"timeout": "none"}, ("timeout_s", 60.0)),
        ({"disk": "2MB"}, {}, ("disk_bytes", 2 << 20)),
    ],
)
def test_a_default_beyond_a_bound_is_lowered_to_it(bound: dict, defaults: dict, lowered: tuple) -> None:
    name, value = lowered

    options = settings({"tasks": ["t"], **bound}, defaults=defaults).task_options("t", {})

    assert getattr(options, name) == value


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ({}, "bounds[0].tasks must be given"),
        ({"tasks": "a"}, "bounds[0].tasks must be a list of names and patterns"),
        ({"tasks": ["a"], "memory": 5}, "bounds[0].memory must"),
        ({"tasks": ["a"], "network": ["h"]}, "bounds[0].network must be true, false or a list of hosts with ports"),
        ({"tasks": ["a"], "may_schedule": "*"}, "bounds[0].may_schedule must be a list"),
        ({"tasks": ["a"], "memori": "1MB"}, "bounds[0].memori is not a known key; did you mean memory?"),
    ],
)
def test_a_wrong_bound_is_told_by_its_key(bound: dict, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(bound)

    assert told in str(refused.value)


def test_to_take_a_run_out_of_its_queue_needs_a_pattern_that_covers_no_name() -> None:
    bounds = settings({"tasks": ["t"], "queues": ["a:*"]}).bounds
    for check in (lambda: bounds.check_run("t", "", None), lambda: bounds.check_scheduling("t", "other", "")):
        with pytest.raises(InvalidOptionError, match='got "", and bounds'):
            check()

    settings({"tasks": ["t"], "queues": ["*"]}).bounds.check_run("t", "", None)
