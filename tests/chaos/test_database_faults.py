"""What a database does to its nodes: they say so, end no run wrongly, and go on by themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from support.pairs import Pair, two_nodes
from support.postgres import PostgresServer, Shell
from support.servers import readiness
from support.waiting import eventually

CONNECTIONS = 20
#: Of all that serve clients; the one that asks is spared.
TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name <> 'taken' AND pid <> pg_backend_pid()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    made = PostgresServer(f"max_connections={CONNECTIONS}")
    made.start()
    yield made
    made.remove()


@pytest.fixture
def pair(tmp_path: Path, server: PostgresServer) -> Iterator[Pair]:
    with two_nodes(tmp_path, server.url(), lease_s=60) as pair:
        yield pair


@contextlib.contextmanager
def hanging(server: PostgresServer) -> Iterator[None]:
    """No connection is closed, none gets an answer, and then all of them get what they asked for."""
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@contextlib.contextmanager
def no_connection_free(server: PostgresServer) -> Iterator[None]:
    """Others hold every connection that there is."""
    with contextlib.ExitStack() as stack:
        taken: list[Shell] = []
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            while len(taken) < CONNECTIONS:
                taken.append(stack.enter_context(contextlib.closing(Shell(server.url() + "&application_name=taken"))))
                taken[0].sql(TERMINATE)
        yield


@pytest.mark.parametrize("faulty", [hanging, no_connection_free])
def test_a_node_says_so_keeps_what_it_runs_and_goes_on_by_itself(
    pair: Pair, server: PostgresServer, faulty: Callable[[PostgresServer], contextlib.AbstractContextManager[None]]
) -> None:
    client = pair.first.start()
    run = client.scheduleTask("linger", queue="q").id
    eventually(lambda: pair.log() == ["begin 1"])

    with faulty(server):
        eventually(lambda: readiness(client) == 503, within_s=30)
        pair.let_go(1)
        eventually(lambda: pair.log() == ["begin 1", "end 1"])
    eventually(lambda: readiness(client) == 200, within_s=30)

    shown = client.wait(run, "30s")
    assert (shown["status"], shown["result"], shown["attempt_count"]) == ("succeeded", 1, 1)
    assert [node["state"] for node in client.nodes()["items"]] == ["up"]
    with contextlib.closing(pair.second.start()) as other:
        other.drain("second")
        again = other.wait(other.scheduleTask("linger").id, "30s")
    assert again["attempts"][0]["node"].startswith("first-")
    client.close()
    assert [node.stop() for node in (pair.first, pair.second)] == [0, 0]
