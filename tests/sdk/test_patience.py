"""A server that is not there is waited for as long as a client is told to; what may have arrived is not sent twice."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from pathlib import Path

import pytest

from runner import AsyncClient, Client, InvalidOptionError, RunnerError, TransportError
from runner.errors import StoppingError
from support.answering import PROBLEM, Server, run_document
from support.blocking import Blocking

STOPPING = (503, '{"type": "urn:isolane:stopping", "detail": "ask again"}', PROBLEM)
GATEWAY = (502, "<html>Bad Gateway")

#: Every call that changes something: whether it is sent again where only its answer was lost.
CHANGES = {
    "scheduleTask": (("greet",), True),
    "scheduleTasks": (([{"task": "greet"}],), True),
    "cancel": (("r1",), True),
    "pause": (("q",), True),
    "resume": (("q",), True),
    "drain": (("n",), True),
    "undrain": (("n",), True),
    "retry": (("r1",), False),
    "delete": (("r1",), False),
    "purge": (("q",), False),
    "release": (("q",), False),
}
ANSWER = run_document(items=[run_document()], cancelled=1, released=1, draining=1, undrained=1)


@pytest.fixture(params=[Client, Blocking], ids=["Client", "AsyncClient"])
def made(request):
    """Makes clients, and closes them."""
    clients = []

    def make(*args, **kwargs):
        clients.append(request.param(*args, **kwargs))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def absent() -> int:
    """A port on which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@pytest.mark.parametrize("call", CHANGES)
@pytest.mark.parametrize("lost", ["hang up", GATEWAY], ids=["reset", "gateway"])
def test_of_a_lost_answer_only_what_does_the_same_twice_is_sent_again(made, server, call, lost):
    arguments, is_repeated = CHANGES[call]
    server.answers = [lost, lost, lost, ANSWER]
    client = made(server.url)

    if is_repeated:
        getattr(client, call)(*arguments)
    else:
        with pytest.raises(TransportError):
            getattr(client, call)(*arguments)

    assert len(server.requests) == (4 if is_repeated else 1)
    assert all(request == server.requests[0] for request in server.requests)


@pytest.mark.parametrize("call", CHANGES)
def test_what_the_server_did_not_take_is_sent_again_whatever_it_is(made, server, call):
    server.answers = [STOPPING, STOPPING, ANSWER]

    getattr(made(server.url), call)(*CHANGES[call][0])

    assert len(server.requests) == 3


@pytest.mark.parametrize("call", CHANGES)
def test_a_server_that_is_started_meanwhile_is_found(made, absent, call):
    client = made(f"http://127.0.0.1:{absent}")
    with Server(absent, after_s=0.2) as late:
        late.answers = [ANSWER]
        getattr(client, call)(*CHANGES[call][0])
        assert len(late.requests) == 1


@pytest.mark.parametrize("patience", [0, "0s", "0"])
def test_without_patience_it_is_tried_once(made, server, absent, patience):
    server.answers = [STOPPING]
    with pytest.raises(StoppingError, match=r"^ask again$"):
        made(server.url, patience=patience).show("r1")
    assert len(server.requests) == 1

    with pytest.raises(TransportError, match=r"nothing answers at .*: is the server running"):
        made(f"http://127.0.0.1:{absent}", patience=patience).show("r1")


def test_patience_ends_with_its_time_and_is_not_busy(made, server):
    server.answers = [STOPPING]
    began = time.monotonic()
    with pytest.raises(StoppingError):
        made(server.url, patience="300ms").show("r1")

    assert time.monotonic() - began >= 0.3
    assert 3 <= len(server.requests) <= 20


def test_each_call_has_all_of_the_patience(made, server):
    client = made(server.url, patience="300ms")
    for _ in range(2):
        server.answers = [STOPPING]
        with pytest.raises(StoppingError):
            client.show("r1")
        server.answers = [STOPPING, STOPPING, run_document()]
        assert client.show("r1")


@pytest.mark.parametrize("patience", [5, 0.1, True, False, "5", "soon", -1, None, "-1s"])
def test_a_patience_without_a_unit_is_refused(patience):
    for kind in (Client, AsyncClient):
        with pytest.raises(InvalidOptionError, match=r"^patience must"):
            kind("http://localhost:1", patience=patience)


def test_what_the_server_refuses_is_not_waited_out(made, server):
    for status, code in ((401, "unauthorized"), (404, "not-found"), (429, "limit-exceeded"), (503, "store")):
        server.requests.clear()
        server.answers = [(status, json.dumps({"type": f"urn:isolane:{code}", "detail": "no"}), PROBLEM)]
        with pytest.raises(RunnerError, match=r"^no$"):
            made(server.url).show("r1")
        assert len(server.requests) == 1


def test_a_wait_that_a_stopping_server_answered_early_goes_on_at_the_next(made, server):
    handle = made(server.url).scheduleTask("greet")
    server.answers = [run_document("running"), STOPPING, "hang up", run_document("succeeded", result=1)]

    assert handle.result(timeout="20s") == 1


def test_a_log_that_was_cut_goes_on_behind_its_last_line(made, server):
    server.answers = [
        "cut a log after a line",
        "hang up",
        STOPPING,
        (200, '{"number": 2}\n{"number": 3}\n{"number": 4}\n', "application/x-ndjson"),
    ]
    lines = made(server.url).logs("r1", limit=3, follow=True)

    assert [line["number"] for line in lines] == [1, 2, 3]
    assert [path.partition("?")[2] for _, path, _ in server.requests] == [
        "limit=3&follow=1",
        *["after=1&limit=2&follow=1"] * 3,
    ]


def test_a_client_is_made_before_there_is_a_server_or_a_project(made, monkeypatch, tmp_path, server):
    monkeypatch.chdir(tmp_path)
    told, looking = made(server.url), made()

    assert told.show("r1")
    with pytest.raises(RunnerError, match="this runs under pytest"):
        looking.show("r1")
    monkeypatch.setenv("ISOLANE_URL", server.url)
    assert looking.show("r1")


def test_a_server_that_tells_its_address_later_and_another_one_after_a_restart_is_found(
    made, monkeypatch, tmp_path, absent
):
    monkeypatch.setattr("runner.sdk.locate._tested_by", lambda: None)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "isolane.toml").touch()
    monkeypatch.chdir(tmp_path)
    client = made()
    with pytest.raises(TransportError, match=r"no isolane server is known in .*isolane serve"):
        made(patience=0).show("r1")

    for _ in range(2):
        with Server() as here:
            here.answers = [run_document()]
            telling = threading.Timer(0.1, _tell, (tmp_path, here.url))
            telling.start()
            assert client.show("r1")["id"] == "r1"
            telling.join()
        _tell(tmp_path, f"http://127.0.0.1:{absent}")  # it was killed


def _tell(project: Path, url: str) -> None:
    (project / ".isolane").mkdir(exist_ok=True)
    (project / ".isolane" / "server.json").write_text(json.dumps({"url": url}))


async def test_a_patient_call_can_be_cancelled(absent):
    async with AsyncClient(f"http://127.0.0.1:{absent}", patience="1h") as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.scheduleTask("greet")
