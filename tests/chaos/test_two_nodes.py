"""Two nodes on one PostgreSQL: whatever happens to one, its attempt is dead before the other starts the run again."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.errors import StoreUnavailableError
from runner.sdk.client import Client
from support.pairs import LEASE_S, Pair, two_nodes
from support.postgres import shared_server
from support.servers import readiness
from support.waiting import eventually

CHIME = """
from runner import task

@task(every="1s", overlap="allow")
def chime(): ...
"""


@pytest.fixture(scope="module", autouse=True)
def postgres() -> str:
    """Started before any test looks which processes there are."""
    return shared_server()


@pytest.fixture
def pair(tmp_path: Path, postgres: str, request: pytest.FixtureRequest) -> Iterator[Pair]:
    with two_nodes(tmp_path, postgres, lease_s=getattr(request, "param", LEASE_S)) as pair:
        yield pair


LONG_LEASE_S = 3 * LEASE_S
#: Where something has to be done within a lease, on a busy machine too.
with_long_lease = pytest.mark.parametrize("pair", [LONG_LEASE_S], indirect=True)


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


@pytest.mark.alone
@pytest.mark.alone
@with_long_lease
def test_the_run_of_a_killed_node_is_lost_and_runs_elsewhere(pair: Pair) -> None:
    client, run = pair.begin()

    pair.first.kill()
    killed_at = time.monotonic()
    eventually(lambda: pair.log()[1:] == ["begin 2"])

    assert time.monotonic() - killed_at < 3 * LONG_LEASE_S, "it took longer than three leases"
    pair.let_go(2)
    _check_second_attempt_counted(_finished(client, run))
    assert _states(client, "first") == ["dead"]
    client.close()
    assert pair.second.stop() == 0


def test_a_node_that_is_started_again_need_not_wait_for_its_own_lease(pair: Pair) -> None:
    config = pair.first.project / "config" / "isolane.toml"
    config.write_text(config.read_text().replace('lease = "1s"', 'lease = "10m"'))
    client = pair.first.start()
    run = client.scheduleTask("linger", queue="q").id
    eventually(lambda: pair.log() == ["begin 1"])

    client.close()
    pair.first.kill()
    client = pair.first.start()

    eventually(lambda: pair.log() == ["begin 1", "begin 2"])
    pair.let_go(2)
    shown = _finished(client, run)
    assert [attempt["reason"] for attempt in shown["attempts"]] == ["lost", "success"]
    client.close()


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


@with_long_lease
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


@with_long_lease
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


@with_long_lease
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
    assert readiness(client) == 200
    pair.relay.cut()
    assert readiness(client) == 503

    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(lambda: client.scheduleTask("linger").id)
        pair.relay.heal()
        run = waiting.result()
    for attempt in range(1, 10):  # the cut may have cost it some, with their lease or with the reply to a claim
        pair.let_go(attempt)
    shown = _finished(client, run)
    assert (shown["status"], shown["result"]) == ("succeeded", shown["attempt_count"])

    pair.relay.cut()
    with pytest.raises(StoreUnavailableError):
        client.scheduleTask("linger")
    pair.relay.heal()
    eventually(lambda: readiness(client) == 200, within_s=30)
    client.close()


def test_a_schedule_fires_once_on_many_nodes_and_outlives_one(pair: Pair) -> None:
    for node in (pair.first, pair.second):
        (node.project / "tasks" / "clock.py").write_text(CHIME)
    pair.first.start().close()
    client = pair.second.start()
    eventually(lambda: len(_chimes(client)) >= 2, within_s=30)

    pair.first.kill()
    survived = len(_chimes(client))
    eventually(lambda: len(_chimes(client)) >= survived + 3, within_s=30)

    due = [shown["due_at"] for shown in _chimes(client)]
    assert len(due) == len(set(due)), "one firing made two runs"
    client.close()


def _chimes(client: Client) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.runs(task="clock.chime", limit=100)["items"]
    return items
