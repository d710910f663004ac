"""The primary dies in the middle of work and its synchronous standby takes over: nothing is lost, nobody's lease."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.sdk.client import Client
from support.postgres import PostgresServer, create_database, sql
from support.projects import write_project
from support.relay import Relay, relay_to
from support.servers import server_in
from support.ticks import MOUNT, TICK, Ticks
from support.waiting import eventually

RUNS, MORE, QUEUES = 120, 20, 20

CONFIG = """
[runner]
name = "{name}"
store = "{store}"
store_patience = "40s"
concurrency = 2
memory = "2GB"
lease = "12s"
[defaults]
timeout = "60s"
memory = "128MB"
"""


@dataclass
class Replicated:
    """A database on a primary, whose commits wait for the standby; `url` leads through the relay."""

    primary: PostgresServer
    standby: PostgresServer
    relay: Relay
    name: str
    url: str

    def fail_over(self) -> None:
        self.primary.kill()
        assert sql(self.standby.url(), "SELECT pg_promote()") == [(True,)]
        self.relay.lead_to(self.standby.url(self.name))


@pytest.fixture
def database() -> Iterator[Replicated]:
    with contextlib.ExitStack() as stack:
        primary = PostgresServer()
        stack.callback(primary.remove)
        primary.start()
        standby = PostgresServer(standby_of=primary)
        stack.callback(standby.remove)
        standby.start()
        sql(primary.url(), "ALTER SYSTEM SET synchronous_standby_names = '*'")
        sql(primary.url(), "SELECT pg_reload_conf()")
        state = "SELECT sync_state FROM pg_stat_replication"
        eventually(lambda: sql(primary.url(), state) == [("sync",)], within_s=30)
        direct = create_database(primary.url())
        relay, through = relay_to(direct)
        stack.callback(relay.close)
        yield Replicated(primary, standby, relay, through.rpartition("/")[2], through)


def test_nodes_go_on_with_the_standby_by_themselves(tmp_path: Path, database: Replicated) -> None:
    (tmp_path / "ticks").mkdir()
    ticks = Ticks(tmp_path / "ticks")
    with contextlib.ExitStack() as stack:
        nodes = []
        for name in ("first", "second"):
            config = CONFIG.format(name=name, store=database.url) + MOUNT.format(ticks=str(tmp_path / "ticks"))
            nodes.append(stack.enter_context(server_in(write_project(tmp_path / name, {"tick.py": TICK}, config))))
        client, other = [stack.enter_context(contextlib.closing(node.start())) for node in nodes]
        before = _nodes(client)
        client.scheduleTasks([{"task": "tick", "queue": f"q{number % QUEUES}"} for number in range(RUNS)])
        eventually(lambda: ticks.ends() >= RUNS // 4, within_s=60)

        thread = stack.enter_context(ThreadPoolExecutor(1))
        scheduling = thread.submit(_schedule_more, other)
        database.fail_over()

        accepted = scheduling.result()
        eventually(lambda: client.count()["succeeded"] == RUNS + MORE, within_s=60)
        assert {client.getRun(run).status() for run in accepted} == {"succeeded"}
        direct = database.standby.url(database.name)
        assert sql(direct, "SELECT DISTINCT reason FROM attempts") == [("success",)]
        beats = _beats(direct)
        eventually(lambda: all(now > then for now, then in zip(_beats(direct), beats, strict=True)), within_s=30)
        assert _nodes(client) == before, "a lease was lost"
        for node in nodes:
            assert node.stop() == 0
    ticks.check(queues=QUEUES, runs=RUNS + MORE)


def _schedule_more(client: Client) -> list[str]:
    return [client.scheduleTask("tick", queue=f"q{number % QUEUES}").id for number in range(MORE)]


def _nodes(client: Client) -> set[tuple[str, str]]:
    return {(node["id"], node["state"]) for node in client.nodes()["items"]}


def _beats(url: str) -> list[int]:
    """How often each node has renewed its lease."""
    return [beat for (beat,) in sql(url, "SELECT beat FROM nodes ORDER BY id")]
