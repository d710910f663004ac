"""Two nodes on one PostgreSQL: whatever happens to one, its attempt is dead before the other starts the run again."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from runner.errors import StoreUnavailableError
from runner.sdk.client import Client
from support.postgres import create_database, drop_database, shared_server
from support.projects import write_project
from support.relay import Relay
from support.servers import Server, server_in
from support.waiting import eventually

LEASE_S = 1.0
CONFIG = """
[runner]
name = "{name}"
store = "{store}"
store_patience = "3s"
concurrency = 2
memory = "2GB"
lease = "1s"
[defaults]
timeout = "60s"
memory = "128MB"
[[mounts]]
source = "{shared}"
target = "/shared"
writable = true
"""

#: Holds its queue's lock until it is let go, and answers which attempt it was.
LINGER = """
import fcntl, os, time

def run(parameters, context):
    log = os.open("/shared/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    lock = os.open("/shared/lock", os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.write(log, f"overlap {context.attempt}\\n".encode())
        raise
    os.write(log, f"begin {context.attempt}\\n".encode())
    while not os.path.exists(f"/shared/go {context.attempt}"):
        time.sleep(0.01)
    os.write(log, f"end {context.attempt}\\n".encode())
    return context.attempt
"""
CHIME = """
from runner import task

@task(every="1s", overlap="allow")
def chime(): ...
"""


@dataclass
class Pair:
    """The first node reaches the database through a relay, the second by itself."""

    first: Server
    second: Server
    relay: Relay
    shared: Path

    def log(self) -> list[str]:
        path = self.shared / "log"
        return path.read_text().splitlines() if path.exists() else []

    def let_go(self, attempt: int) -> None:
        (self.shared / f"go {attempt}").touch()

    def begin(self) -> tuple[Client, str]:
        """A run that lingers on the first node; then the second starts. A client of the second, and the run's id."""
        client = self.first.start()
        run = client.scheduleTask("linger", queue="q").id
        client.close()
        eventually(lambda: self.log() == ["begin 1"])
        return self.second.start(), run


@pytest.fixture(scope="module", autouse=True)
def postgres() -> str:
    """Started before any test looks which processes there are."""
    return shared_server()


@pytest.fixture
def pair(tmp_path: Path, postgres: str) -> Iterator[Pair]:
    database = create_database(postgres)
    relay = Relay(_dialler(database))
    user, name = urlsplit(database).username, urlsplit(database).path
    through = f"postgresql://{user}@127.0.0.1:{relay.port}{name}"
    shared = tmp_path / "shared"
    shared.mkdir()
    try:
        with contextlib.ExitStack() as stack:
            servers = []
            for number, store in (("first", through), ("second", database)):
                config = CONFIG.format(name=number, store=store, shared=shared)
                project = write_project(tmp_path / number, {"linger.py": LINGER, "clock.py": ""}, config)
                servers.append(stack.enter_context(server_in(project)))
            yield Pair(*servers, relay, shared)
            for server in servers:  # before either looks what is left
                if server.process is not None and server.process.poll() is None:
                    server.kill()
    finally:
        relay.close()
        drop_database(postgres, database)


def _dialler(database: str) -> Callable[[], socket.socket]:
    parts = urlsplit(database)
    folder = parse_qs(parts.query).get("host", [""])[0]
    if not folder.startswith("/"):
        return lambda: socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 5432))

    def dial() -> socket.socket:
        dialled = socket.socket(socket.AF_UNIX)
        dialled.connect(f"{folder}/.s.PGSQL.5432")
        return dialled

    return dial


def _finished(client: Client, run: str) -> dict[str, Any]:
    shown = client.wait(run, "30s")
    assert shown["finished_at"] is not None, shown
    return shown


def _check_second_attempt_counted(shown: dict[str, Any]) -> None:
    assert (shown["status"], shown["result"]) == ("succeeded", 2)
    assert [attempt["reason"] for attempt in shown["attempts"]] == ["lost", "success"]
    assert "its node first-" in shown["attempts"][0]["why"]


def _states(client: Client, name: str) -> list[str]:
    return sorted(node["state"] for node in client.nodes()["items"] if node["name"] == name)


def _last_seen(client: Client, name: str) -> datetime:
    [seen] = [node["last_seen_at"] for node in client.nodes()["items"] if node["name"] == name]
    return datetime.fromisoformat(seen)


def test_the_run_of_a_killed_node_is_lost_and_runs_elsewhere(pair: Pair) -> None:
    client, run = pair.begin()

    pair.first.kill()
    killed_at = time.monotonic()
    eventually(lambda: pair.log()[1:] == ["begin 2"])

    assert time.monotonic() - killed_at < 3 * LEASE_S + 1, "it took longer than three leases"
    pair.let_go(2)
    _check_second_attempt_counted(_finished(client, run))
    assert _states(client, "first") == ["dead"]
    client.close()
    assert pair.second.stop() == 0


def test_the_attempt_of_a_stopped_runner_is_dead_before_the_other_begins(pair: Pair) -> None:
    client, run = pair.begin()

    pair.first.process.send_signal(signal.SIGSTOP)
    eventually(lambda: len(pair.log()) > 1)
    assert pair.log() == ["begin 1", "begin 2"]
    pair.first.process.send_signal(signal.SIGCONT)
    eventually(lambda: _states(client, "first") == ["dead", "up"])
    pair.let_go(2)

    _check_second_attempt_counted(_finished(client, run))
    client.close()
    assert [node.stop() for node in (pair.first, pair.second)] == [0, 0]


def test_a_result_from_before_its_runner_was_stopped_changes_nothing_after(pair: Pair) -> None:
    client, run = pair.begin()

    pair.first.process.send_signal(signal.SIGSTOP)
    pair.let_go(1)
    eventually(lambda: pair.log() == ["begin 1", "end 1", "begin 2"])
    pair.first.process.send_signal(signal.SIGCONT)
    eventually(lambda: "had lost its claim" in pair.first.log())
    pair.let_go(2)

    _check_second_attempt_counted(_finished(client, run))
    client.close()


def test_the_attempt_of_a_node_that_is_cut_off_is_dead_before_the_other_begins(pair: Pair) -> None:
    client, run = pair.begin()

    pair.relay.cut()
    eventually(lambda: len(pair.log()) > 1)
    assert pair.log() == ["begin 1", "begin 2"]
    pair.let_go(2)
    _check_second_attempt_counted(_finished(client, run))

    pair.relay.heal()
    eventually(lambda: "up" in _states(client, "first"), within_s=30)
    client.drain("second")
    again = client.scheduleTask("linger").id
    pair.let_go(1)
    assert _finished(client, again)["attempts"][0]["node"].startswith("first-")
    _check_second_attempt_counted(client.show(run))
    client.close()


def test_a_result_that_was_cut_off_with_its_node_changes_nothing_when_the_cut_heals(pair: Pair) -> None:
    client, run = pair.begin()

    pair.relay.cut()
    pair.let_go(1)
    eventually(lambda: pair.log() == ["begin 1", "end 1", "begin 2"])
    pair.relay.heal()
    eventually(lambda: "had lost its claim" in pair.first.log(), within_s=60)
    pair.let_go(2)

    _check_second_attempt_counted(_finished(client, run))
    client.close()


def test_a_short_cut_costs_nothing(pair: Pair) -> None:
    client, run = pair.begin()

    pair.relay.cut()
    pair.relay.heal()
    healed_at = datetime.now(UTC)
    eventually(lambda: _last_seen(client, "first") > healed_at + timedelta(seconds=2 * LEASE_S))
    pair.let_go(1)

    shown = _finished(client, run)
    assert (shown["result"], shown["attempt_count"]) == (1, 1)
    client.close()


def test_a_node_that_is_cut_off_says_so_and_its_callers_wait_for_a_while(pair: Pair) -> None:
    client = pair.first.start()
    assert _ready(client) == 200
    pair.relay.cut()
    assert _ready(client) == 503

    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(lambda: client.scheduleTask("linger").id)
        pair.relay.heal()
        run = waiting.result()
    pair.let_go(1)
    assert _finished(client, run)["result"] == 1

    pair.relay.cut()
    with pytest.raises(StoreUnavailableError):
        client.scheduleTask("linger")
    pair.relay.heal()
    eventually(lambda: _ready(client) == 200, within_s=30)
    client.close()


def _ready(client: Client) -> int:
    try:
        with urllib.request.urlopen(f"{client.url}/readyz", timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_schedule_fires_once_on_many_nodes_and_outlives_one(pair: Pair) -> None:
    for node in (pair.first, pair.second):
        (node.project / "tasks" / "clock.py").write_text(CHIME)
    pair.first.start().close()
    client = pair.second.start()
    eventually(lambda: len(_chimes(client)) >= 2)

    pair.first.kill()
    survived = len(_chimes(client))
    eventually(lambda: len(_chimes(client)) >= survived + 3)

    due = [shown["due_at"][:19] for shown in _chimes(client)]
    assert len(due) == len(set(due)), "one firing made two runs"
    client.close()


def _chimes(client: Client) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.runs(task="clock.chime", limit=100)["items"]
    return items
