"""Scheduling from a plain program: what is refused at the call, and where the call goes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from runner import (
    Client,
    InvalidOptionError,
    InvalidValueError,
    RunnerError,
    TransportError,
    getRun,
    scheduleTask,
    scheduleTasks,
)


@dataclass
class Inner:
    b: int = 2


@dataclass
class Order:
    a: int
    inner: Inner


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": datetime(2026, 1, 1)}, "at is 2026-01-01 00:00:00, without a time zone"),  # noqa: DTZ001
        ({"at": "tomorrow"}, "at must be an aware datetime or RFC 3339"),
        ({"at": "2026-01-01T00:00:00Z", "after": 5}, "at and after exclude each other"),
        ({"after": -1}, "after must lie between 0"),
        ({"after": timedelta(seconds=-1)}, "after must not be negative"),
        ({"after": float("nan")}, "after must lie between 0"),
        ({"after": True}, "after must be a duration"),
        ({"expires": 60}, 'expires must have a unit: write "60s"'),
        ({"timeout": 60}, 'timeout must have a unit: write "60s"'),
        ({"queue": "q" * 300}, "queue must be a text of 1 to 200 characters"),
        ({"queue": ""}, "queue must be a text of 1 to 200 characters"),
        ({"priority": "high"}, "priority must be a whole number"),
        ({"idempotency_key": ""}, "idempotency_key must be a text of 1 to 500"),
        ({"tags": "a"}, "tags must be a list"),
        ({"retry": 3}, "retry must be a Retry"),
        ({"with_success": True}, "with_success works inside a task only"),
        ({"with_success": 1}, "with_success must be True or False"),
        ({"delay": 5}, "scheduleTask has no option 'delay'"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_sent(server, options, message):
    with Client(server.url) as client, pytest.raises(InvalidOptionError, match=f"^{message}"):
        client.scheduleTask("greet", **options)
    assert server.requests == []


@pytest.mark.parametrize("wrong", [5, None, "", "a b", "a..b", "-x", len, lambda: None])
def test_a_task_is_named_or_is_a_function_of_the_folder(server, wrong):
    with Client(server.url) as client, pytest.raises(InvalidOptionError, match=r"^task must be"):
        client.scheduleTask(wrong)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([1], r"parameters must be an object \(a dict\), not a list"),
        ({"when": datetime(2026, 1, 1)}, r'parameters\["when"\] is a datetime; pass it as text'),  # noqa: DTZ001
        (Order(a=1, inner={2}), r'parameters\["inner"\] is a set'),
    ],
)
def test_parameters_that_are_not_json_are_refused_by_their_place(server, parameters, message):
    with Client(server.url) as client, pytest.raises(InvalidValueError, match=f"^{message}"):
        client.scheduleTask("greet", parameters)


def test_a_dataclass_is_sent_as_its_fields(server):
    with Client(server.url) as client:
        client.scheduleTask("greet", Order(a=1, inner=Inner()))

    assert server.requests[0][2]["parameters"] == {"a": 1, "inner": {"b": 2}}


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ({"task": "a"}, "scheduleTasks takes a list of dicts: got a dict"),
        ([{"task": "a"}, {}], r'runs\[1\]: must be a dict with a "task"'),
        ([{"task": "a"}, "b"], r'runs\[1\]: must be a dict with a "task"'),
        ([{"task": "a", "quue": "b"}], r"runs\[0\]: a run has no option 'quue' \(did you mean queue\?\)"),
        ([{"task": "a"}] * 3 + [{"task": "a", "after": -1}], r"runs\[3\]: after must lie between"),
        ([{"task": "a", "with_success": True}], "with_success works inside a task only"),
    ],
)
def test_of_many_runs_the_wrong_one_is_named_and_none_is_sent(server, runs, message):
    with Client(server.url) as client, pytest.raises(InvalidOptionError, match=f"^{message}"):
        client.scheduleTasks(runs)
    assert server.requests == []


def test_plain_calls_go_to_the_server_that_the_environment_names(server, monkeypatch):
    monkeypatch.setenv("ISOLANE_URL", server.url + "/")
    monkeypatch.setenv("ISOLANE_TOKEN", "t")
    handle = scheduleTask("greet", {"a": 1})
    assert getRun(handle.id).id == "r1"
    server.answers = [{"items": []}]
    assert scheduleTasks([{"task": "greet"}]) == []

    assert [path for _, path, _ in server.requests] == ["/api/v1/runs", "/api/v1/runs/r1", "/api/v1/runs/batch"]
    assert server.headers[0]["Authorization"] == "Bearer t"
    handle._source.close()


def test_plain_calls_in_a_projects_folder_find_its_server(server, monkeypatch, tmp_path):
    state = tmp_path / ".isolane"
    (tmp_path / "deep" / "down").mkdir(parents=True)
    state.mkdir()
    (state / "server.json").write_text(json.dumps({"url": server.url}))
    (state / "token").write_text("of-the-project\n")
    monkeypatch.chdir(tmp_path / "deep" / "down")
    handle = scheduleTask("greet")

    assert server.headers[0]["Authorization"] == "Bearer of-the-project"
    handle._source.close()


def test_a_projects_token_is_not_sent_to_another_server(server, monkeypatch, tmp_path):
    (tmp_path / ".isolane").mkdir()
    (tmp_path / ".isolane" / "server.json").write_text('{"url": "http://127.0.0.1:1"}')
    (tmp_path / ".isolane" / "token").write_text("of-the-project")
    monkeypatch.chdir(tmp_path)
    with Client(server.url) as client:
        client.show("r1")

    assert "Authorization" not in server.headers[0]


def test_without_a_server_the_error_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TransportError, match=r"isolane serve.*ISOLANE_URL"):
        scheduleTask("greet")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "isolane.toml").touch()
    with pytest.raises(TransportError, match=f"no isolane server is known in {tmp_path}"):
        scheduleTask("greet")


@pytest.mark.parametrize("url", ["localhost:8420", "ftp://x", "http://", "nonsense"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(InvalidOptionError, match="the server's address must be such as"):
        Client(url)


async def test_in_an_event_loop_the_error_names_the_other_client():
    with pytest.raises(RunnerError, match="AsyncClient"):
        scheduleTask("greet")
