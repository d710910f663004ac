"""Both clients say the same on the wire, and read the same from it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from runner import (
    Client,
    ConflictError,
    Handle,
    InvalidOptionError,
    Retry,
    RunFailedError,
    RunnerError,
    TransportError,
    WaitTimeoutError,
    task,
)
from support.answering import PROBLEM, run_document
from support.blocking import Blocking


@pytest.fixture(params=[Client, Blocking], ids=["Client", "AsyncClient"])
def client(request, server) -> Iterator[Client]:
    made = request.param(server.url, "secret", patience=0)
    yield made
    made.close()


def test_a_run_is_scheduled_with_an_id_of_ours(client, server):
    handle = client.scheduleTask(
        "greet",
        {"name": "Ada", "pair": (1, 2)},
        at=datetime(2026, 1, 2, tzinfo=UTC),
        queue="q",
        priority=0,
        idempotency_key="k",
        expires="1h",
        tags=("a",),
        retry={"attempts": 5},
        timeout="none",
    )

    [(method, path, body)] = server.requests
    assert (method, path) == ("POST", "/api/v1/runs")
    assert len(body.pop("id")) == 36
    assert body == {
        "task": "greet",
        "parameters": {"name": "Ada", "pair": [1, 2]},
        "at": "2026-01-02T00:00:00.000000Z",
        "queue": "q",
        "priority": 0,
        "idempotency_key": "k",
        "expires": "1h",
        "tags": ["a"],
        "retry": {"attempts": 5},
        "timeout": "none",
    }
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert (handle.id, handle.task) == ("r1", "greet")


@pytest.mark.parametrize(
    ("after", "sent"), [(timedelta(seconds=90), "90s"), ("1m30s", "90s"), (1500, "1500ms"), (0.5, "0.5ms"), (0, "0ms")]
)
def test_after_is_a_duration_or_milliseconds(client, server, after, sent):
    client.schedule_task("greet", after=after)

    assert server.requests[0][2]["after"] == sent


def test_many_runs_are_one_request(client, server):
    server.answers = [{"items": [run_document(id="a"), run_document(id="b")]}]
    handles = client.scheduleTasks([{"task": "greet"}, {"task": "greet", "parameters": {"a": 1}, "tags": ["x"]}])

    [(method, path, body)] = server.requests
    assert (method, path) == ("POST", "/api/v1/runs/batch")
    assert [{**run, "id": None} for run in body["runs"]] == [
        {"id": None, "task": "greet"},
        {"id": None, "task": "greet", "parameters": {"a": 1}, "tags": ["x"]},
    ]
    assert [handle.id for handle in handles] == ["a", "b"]
    assert client.scheduleTasks([]) == []


def test_every_other_call_has_its_route(client, server):
    server.answers = [{"items": [], "cancelled": 3, "released": 2, "draining": 1, "id": "r1", "task": "t"}]
    client.getRun("r1")
    client.cancel("r1")
    client.retry("r1")
    client.runs(status=["queued", "running"], tag="a b", limit=5)
    client.queues()
    client.queue("tenant/4 2")
    client.pause("q")
    client.resume("q")
    assert client.purge("q") == 3
    assert client.release("q") == 2
    client.nodes()
    assert client.drain("a node") == 1
    client.tasks()
    client.task("a.b")

    assert [(method, path) for method, path, _ in server.requests] == [
        ("GET", "/api/v1/runs/r1"),
        ("POST", "/api/v1/runs/r1/cancel"),
        ("POST", "/api/v1/runs/r1/retry"),
        ("GET", "/api/v1/runs?status=queued&status=running&tag=a+b&limit=5"),
        ("GET", "/api/v1/queues"),
        ("GET", "/api/v1/queues/tenant%2F4%202"),
        ("POST", "/api/v1/queues/q/pause"),
        ("POST", "/api/v1/queues/q/resume"),
        ("POST", "/api/v1/queues/q/purge"),
        ("POST", "/api/v1/queues/q/release"),
        ("GET", "/api/v1/nodes"),
        ("POST", "/api/v1/nodes/a%20node/drain"),
        ("GET", "/api/v1/tasks"),
        ("GET", "/api/v1/tasks/a.b"),
    ]


def test_deleting_answers_nothing(client, server):
    server.answers = [(204, "")]

    assert client.delete("../r1") is None
    assert server.requests[0][:2] == ("DELETE", "/api/v1/runs/..%2Fr1")


def test_a_result_is_waited_for_with_long_polls(client, server):
    handle = client.scheduleTask("greet")
    server.answers = [run_document("running"), run_document("running"), run_document("succeeded", result={"a": 1})]

    assert handle.result() == {"a": 1}
    assert [path for _, path, _ in server.requests[1:]] == ["/api/v1/runs/r1?wait=30000ms"] * 3


def test_waiting_ends_with_its_time(client, server):
    handle = client.scheduleTask("greet")
    server.answers = [run_document("running")]

    with pytest.raises(WaitTimeoutError, match="run r1 of task greet is running after 50ms of waiting"):
        handle.result(timeout="50ms")
    assert handle.status() == "running"
    assert not handle.is_completed()
    with pytest.raises(InvalidOptionError, match="timeout must have a unit"):
        handle.result(timeout=5)


def test_a_run_that_did_not_succeed_raises_its_reason(client, server):
    handle = client.scheduleTask("greet")
    server.answers = [run_document("failed", reason="timeout", why="passed its timeout of 5m")]

    with pytest.raises(RunFailedError, match="run r1 of task greet failed: passed its timeout of 5m") as caught:
        handle.result()
    assert caught.value.reason == "timeout"


def test_a_problem_document_is_raised_as_its_own_kind(client, server):
    server.answers = [(409, '{"type": "urn:isolane:conflict", "detail": "other parameters"}', PROBLEM)]

    with pytest.raises(ConflictError, match=r"^other parameters$"):
        client.scheduleTask("greet")


@pytest.mark.parametrize(
    "answer",
    [(502, "<html>"), (404, '{"type": "about:blank", "detail": "x"}', PROBLEM), (200, "hello"), (200, "[]"), (200, "")],
)
def test_what_is_no_answer_of_isolane_says_so(client, server, answer):
    server.answers = [answer]

    with pytest.raises(TransportError, match=f"{server.url} answered"):
        client.show("r1")


def test_a_lost_reply_is_asked_for_again_with_the_same_id(client, server):
    server.answers = ["hang up", run_document()]
    client.scheduleTask("greet")

    ids = {body["id"] for _, _, body in server.requests}
    assert (len(server.requests), len(ids)) == (2, 1)


def test_what_would_count_twice_is_not_repeated(client, server):
    server.answers = ["hang up", run_document()]

    with pytest.raises(TransportError, match="failed: "):
        client.retry("r1")
    assert len(server.requests) == 1


def test_a_server_that_is_not_there_says_how_to_start_one(client):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        other = type(client)(url, patience=0)
        with pytest.raises(TransportError, match=f"nothing answers at {url}: is the server running"):
            other.show("r1")
        other.close()


def test_a_log_is_read_line_by_line(client, server):
    server.answers = [(200, '{"number": 6, "text": "a"}\n{"number": 7, "text": "b"}\n', "application/x-ndjson")]

    assert [line["text"] for line in client.logs("r1", after=5, limit=10, follow=True)] == ["a", "b"]
    assert server.requests[0][1] == "/api/v1/runs/r1/logs?after=5&limit=10&follow=1"


def test_empty_lines_of_a_log_only_say_that_the_connection_is_alive(client, server):
    server.answers = [(200, '\n\n{"number": 1, "text": "a"}\n\n{"number": 2, "text": "b"}\n\n', "application/x-ndjson")]

    assert [line["text"] for line in client.logs("r1", follow=True)] == ["a", "b"]


def test_a_log_of_no_run_is_refused(client, server):
    server.answers = [(404, '{"type": "urn:isolane:not-found", "detail": "no run r1"}', PROBLEM)]

    with pytest.raises(RunnerError, match=r"^no run r1$"):
        list(client.logs("r1"))


@pytest.mark.parametrize("where", ["cut a log", "cut a log after a line"])
def test_a_log_that_was_cut_is_no_whole_log(client, server, where):
    server.answers = [where]

    with pytest.raises(TransportError):
        list(client.logs("r1", follow=True))


def test_handles_name_themselves(server):
    with Client(server.url) as client:
        assert repr(client.scheduleTask("greet")) == "<Handle greet r1>"


async def test_a_handle_of_the_blocking_client_can_be_awaited(server):
    with Client(server.url) as client:
        handle = await client.scheduleTask("greet")
        server.answers = [run_document("succeeded", result=[1])]

        assert isinstance(handle, Handle)
        assert await handle.aresult() == [1]


def test_a_function_of_the_tasks_folder_names_its_task(client, server):
    def invoice(): ...

    invoice.__module__ = "tasks.billing"
    client.scheduleTask(invoice)
    client.scheduleTask(task(name="mail.daily")(lambda: None), retry=Retry(attempts=2))

    assert [body["task"] for _, _, body in server.requests] == ["billing.invoice", "mail.daily"]
    assert server.requests[1][2]["retry"]["attempts"] == 2
