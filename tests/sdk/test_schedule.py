"""Scheduling from a plain program: what is refused at the call, and where the call goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from runner import (
    Client,
    InvalidOptionError,
    InvalidValueError,
    RunnerError,
    getRun,
    scheduleTask,
    scheduleTasks,
)

#: A program with a unit test, which two frameworks can run.
TEST = """
import unittest
from runner import scheduleTask

{setup}

class OrderTest(unittest.TestCase):
    def test_order(self):
        {body}

if __name__ == "__main__":
    unittest.main()
"""


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
        ({"queue": " "}, "queue must be of characters that print"),
        ({"priority": "high"}, "priority must be a whole number"),
        ({"idempotency_key": ""}, "idempotency_key must be a text of 1 to 500"),
        ({"tags": "a"}, "tags must be a list"),
        ({"retry": 3}, "retry must be a table such as"),
        ({"with_success": True}, "with_success works inside a task only"),
        ({"with_success": 1}, "with_success must be true or false"),
        ({"delay": 5}, "delay is not a known option of scheduleTask"),
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
        ([{"task": "a", "quue": "b"}], r"runs\[0\]: quue is not a known key of a run; did you mean queue\?"),
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


def test_plain_calls_in_a_projects_folder_find_its_server(server, project):
    done = call(project / "deep" / "down", "from runner import scheduleTask; scheduleTask('greet')")

    assert done.returncode == 0, done.stderr
    assert server.headers[0]["Authorization"] == "Bearer of-the-project"


@pytest.mark.parametrize(
    "code",
    [
        "runner.scheduleTask('greet')",
        "runner.scheduleTasks([{'task': 'greet'}])",
        "runner.getRun('r1')",
        "runner.Client().show('r1')",
        "list(runner.Client(token='t').logs('r1'))",
        "import asyncio; asyncio.run(runner.AsyncClient().show('r1'))",
    ],
)
@pytest.mark.parametrize(
    "told", [{"PYTEST_CURRENT_TEST": "test_x.py::test_y (call)"}, {"PYTEST_VERSION": "9.0"}], ids=str
)
def test_a_program_that_a_test_starts_does_not_find_the_folders_server(server, project, code, told):
    done = call(project, f"import runner; {code}", **told)

    assert "RunnerError: this runs under pytest" in done.stderr
    assert "ISOLANE_URL" in done.stderr
    assert "runner.Client(url, token)" in done.stderr
    assert server.requests == []


@pytest.mark.parametrize(
    ("starts", "named"),
    [
        (["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_order.py"], "pytest"),
        (["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_at_import.py"], "pytest"),
        (["-m", "unittest", "test_order"], "unittest"),
        (["-m", "unittest", "test_at_import"], "unittest"),
        (["test_order.py"], "unittest"),
        (["-m", "doctest", "documented.py"], "doctest"),
    ],
    ids=" ".join,
)
def test_a_test_does_not_find_the_folders_server(server, project, starts, named):
    (project / "test_order.py").write_text(TEST.format(setup="", body="scheduleTask('greet')"))
    (project / "test_at_import.py").write_text(TEST.format(setup="scheduleTask('greet')", body="pass"))
    (project / "documented.py").write_text('"""\n>>> import runner\n>>> runner.scheduleTask("greet").id\n\'r1\'\n"""\n')

    done = python(project, *starts)

    assert done.returncode != 0
    assert f"this runs under {named}" in done.stdout + done.stderr
    assert server.requests == []


def test_a_test_schedules_where_it_is_told_to(server, project):
    (project / "test_order.py").write_text(TEST.format(setup="", body="scheduleTask('greet')"))

    for starts in (["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_order.py"], ["-m", "unittest", "test_order"]):
        done = python(project, *starts, ISOLANE_URL=server.url)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(server.requests) == 2


def test_the_command_line_is_no_test_though_one_starts_it(server, project):
    done = python(
        project, "-m", "runner", "runs", "show", "r1", "--json", PYTEST_CURRENT_TEST="test_x.py::test_y (call)"
    )

    assert done.returncode == 0, done.stderr
    assert server.headers[0]["Authorization"] == "Bearer of-the-project"


def test_a_projects_token_is_not_sent_to_another_server(server, monkeypatch, tmp_path):
    (tmp_path / ".isolane").mkdir()
    (tmp_path / ".isolane" / "server.json").write_text('{"url": "http://127.0.0.1:1"}')
    (tmp_path / ".isolane" / "token").write_text("of-the-project")
    monkeypatch.chdir(tmp_path)
    with Client(server.url) as client:
        client.show("r1")

    assert "Authorization" not in server.headers[0]


def test_without_a_server_the_error_says_what_to_do(tmp_path):
    code = "from runner import scheduleTask; scheduleTask('greet')"
    said = call(tmp_path, code).stderr
    assert "TransportError: no isolane server is known for this folder" in said
    assert "isolane serve" in said
    assert "ISOLANE_URL" in said
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "isolane.toml").touch()
    assert f"TransportError: no isolane server is known in {tmp_path}" in call(tmp_path, code).stderr


@pytest.mark.parametrize("url", ["localhost:8420", "ftp://x", "http://", "nonsense"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(InvalidOptionError, match="the server's address must be such as"):
        Client(url)


async def test_in_an_event_loop_the_error_names_the_other_client():
    with pytest.raises(RunnerError, match="AsyncClient"):
        scheduleTask("greet")


@pytest.fixture
def project(server, tmp_path) -> Path:
    """A folder that says where its server is."""
    state = tmp_path / ".isolane"
    (tmp_path / "deep" / "down").mkdir(parents=True)
    state.mkdir()
    (state / "server.json").write_text(json.dumps({"url": server.url}))
    (state / "token").write_text("of-the-project\n")
    return tmp_path


def call(folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code as a program in a folder."""
    return python(folder, "-c", code, **environment)


def python(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, as nobody's test."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
