"""All who take options ask one table: what one of them accepts or refuses, every other does too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.catalog.manifest import read_manifest
from runner.cli.commands.schedule import command
from runner.config import read_settings
from runner.domain.options.kinds import RETRY_PARTS
from runner.domain.options.table import CALL_OPTIONS, OPTIONS, TASK_OPTIONS, CallKeywords, TaskKeywords
from runner.domain.options.task_options import TaskOptions, merge_options, read_options
from runner.domain.retry import Retry
from runner.domain.run import NewRun
from runner.engine.api.submission import Submission
from runner.errors import ConfigError, InvalidOptionError, UnknownTaskError
from runner.sdk.decorator import KNOWN, task
from runner.sdk.schedule_requests import request
from sandbox import Share

#: Of each option a value that is not its default.
SAMPLES = {
    "description": "Sends it",
    "queue": "mail",
    "timeout": "90m",
    "memory": "1536MB",
    "cpus": 0.5,
    "processes": 3,
    "disk": "1025KB",
    "network": ["smtp.example.com:587"],
    "secrets": ["SMTP_PASSWORD"],
    "retry": {"attempts": None, "on": ["error"]},
    "every": "90m",
    "cron": "0 7 * * mon-fri",
    "timezone": "Europe/Oslo",
    "overlap": "allow",
    "catch_up": "all",
    "expires": "1234.5ms",
    "priority": -5,
    "tags": ["a"],
    "at": "2026-11-28T12:00:00.000000Z",
    "after": "90s",
    "idempotency_key": "k",
    "with_success": True,
}
RIGHT = [
    *SAMPLES.items(),
    ("description", "d" * 5000),
    ("cron", ",".join(map(str, range(60))) + " 0" * 1 + " " * 151 + "1 1 1"),
    ("cron", "none"),
    ("queue", ""),
    ("timeout", "none"),
    ("expires", "none"),
    ("tags", ["t"] * 50),
    ("after", "0s"),
]
WRONG = [
    ("description", "d" * 10_001),
    ("description", ""),
    ("queue", " q"),
    ("queue", "q" * 201),
    ("timeout", 30),
    ("timeout", "1ms"),
    ("memory", "1MB"),
    ("cpus", 0),
    ("processes", True),
    ("disk", "1KB"),
    ("network", ["https://example.com"]),
    ("secrets", ["small"]),
    ("secrets", "SMTP_PASSWORD"),
    ("retry", 3),
    ("retry", {"atempts": 3}),
    ("retry", {"attempts": 0}),
    ("retry", {"first": 1}),
    ("every", "10ms"),
    ("cron", "61 7 * * mon"),
    ("cron", "0 0 31 2 *"),
    ("cron", "7 o'clock"),
    ("timezone", "Mars/Olympus"),
    ("timezone", "../../etc/passwd"),
    ("overlap", "maybe"),
    ("catch_up", "two"),
    ("expires", "0s"),
    ("expires", 5),
    ("priority", 10**9),
    ("priority", "high"),
    ("tags", [str(number) for number in range(60)]),
    ("tags", ["new\nline"]),
    ("at", "tomorrow"),
    ("at", "2026-11-28T12:00:00"),
    ("after", -1),
    ("after", True),
    ("idempotency_key", ""),
    ("idempotency_key", "k" * 501),
    ("idempotency_key", "\0"),
    ("with_success", 1),
]


def in_manifest(options: dict[str, Any]) -> None:
    declared = {"name": "t", "module": "m", "function": "f", "arguments": 0, "schema": None}
    read_manifest([{**declared, "description": None, "options": options}], "m")


def in_config(section: str) -> Callable[[dict[str, Any]], None]:
    def read(options: dict[str, Any]) -> None:
        tables = {"defaults": options} if section == "defaults" else {"tasks": {"t": options}}
        read_settings(tables, file=Path("isolane.toml"), project=Path.cwd())

    return read


def on_the_server(options: dict[str, Any]) -> None:
    def find(_app: str, name: str) -> None:
        raise UnknownTaskError(name)

    settings = read_settings({}, file=Path("isolane.toml"), project=Path.cwd())
    submission = Submission(settings, SimpleNamespace(find=find), lambda: 0)
    with pytest.raises(UnknownTaskError):  # whose turn is after the options
        list(submission.preparing("main", [{"task": "t", **options}]))


def submitted(options: dict[str, Any], own: TaskOptions) -> NewRun:
    """The run that comes of a call with these options of a task with options of its own."""
    settings = read_settings({}, file=Path("isolane.toml"), project=Path.cwd())
    entry = SimpleNamespace(name="t", options=own)
    catalog = SimpleNamespace(find=lambda *_: entry, check_parameters=lambda *_, **__: None)
    preparing = Submission(settings, catalog, lambda: 0).preparing("main", [request("t", None, options, 1000)])
    [(run, _)] = asyncio.run(Share().go_through(preparing))
    return run


#: Where the options of tasks are taken, and those of calls.
OF_TASKS = (lambda options: task(**options), in_manifest, in_config("defaults"), in_config("tasks"))
OF_CALLS = (lambda options: request("t", None, options, 1000), on_the_server)


def places(name: str) -> list[Callable[[dict[str, Any]], object]]:
    return [*(OF_TASKS if name in TASK_OPTIONS else ()), *(OF_CALLS if name in CALL_OPTIONS else ())]


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_what_one_place_takes_all_take(name, value):
    for take in places(name):
        take({name: value})


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_one_place_refuses_all_refuse_by_the_same_rule(name, value):
    said = []
    for take in places(name):
        with pytest.raises((InvalidOptionError, ConfigError)) as refused:
            take({name: value})
        said.append(str(refused.value))

    assert said[0].startswith(name)
    assert all(message.endswith(said[0]) for message in said)


def test_a_call_may_say_that_there_is_to_be_none_of_what_its_task_has():
    own = TaskOptions(queue="mail", expires_s=60, timeout_s=5, tags=("a",), retry=Retry(attempts=7))
    plain, bare = submitted({}, own), submitted({"queue": "", "expires": "none", "timeout": "none"}, own)
    other = submitted({"queue": "q", "expires": "2s", "tags": ["b"], "retry": {"first": "3s"}, "after": 500}, own)

    assert (plain.queue, plain.expires_at, plain.timeout_s, plain.retry) == ("mail", 60_000_000, None, None)
    assert (bare.queue, bare.expires_at, bare.timeout_s) == (None, None, float("inf"))
    assert (other.queue, other.due_at, other.expires_at, other.tags) == ("q", 500_000, 2_500_000, ("a", "b"))
    assert other.retry == Retry(attempts=7, first="3s")


def test_each_option_is_tried():
    assert SAMPLES.keys() == {name for name, _ in WRONG} == {option.name for option in OPTIONS}


def test_what_editors_are_told_is_in_the_table():
    assert set(TaskKeywords.__annotations__) == KNOWN.keys() == TASK_OPTIONS.keys() | {"name"}
    assert set(CallKeywords.__annotations__) == CALL_OPTIONS.keys()


def test_each_option_of_a_task_is_held_and_told_and_reads_back():
    assert {option.attribute for option in TASK_OPTIONS.values()} == {field.name for field in fields(TaskOptions)}
    for name in TASK_OPTIONS:
        options = merge_options(read_options({name: SAMPLES[name]}))
        document = options.document()

        assert options != TaskOptions()
        assert document.keys() == TASK_OPTIONS.keys()
        assert document[name] == (options.retry.document() if name == "retry" else SAMPLES[name])
        assert merge_options(read_options(document)) == options


def test_each_part_of_a_retry_policy_is_checked():
    assert RETRY_PARTS.keys() == {field.name for field in fields(Retry)}


def test_the_command_line_has_each_option_of_a_call_that_makes_sense_outside_of_tasks():
    wanted = (CALL_OPTIONS.keys() - {"with_success", "retry"}) | {"retry_attempts"}

    assert wanted <= {parameter.name for parameter in command.params}
