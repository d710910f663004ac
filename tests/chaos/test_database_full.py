"""The database's disk is full, with a node at work; then there is room again."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from runner.errors import StoreFullError
from runner.sdk.client import Client
from support.pairs import LINGERING, Pair, two_nodes
from support.postgres import PostgresServer, Shell, has_small_disks, sql
from support.servers import readiness
from support.waiting import eventually

MEASURE = "def run(parameters):\n    return len(parameters['text'])\n"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    if not has_small_disks():
        pytest.skip("this host lets nobody mount a disk in a namespace of their own")
    made = PostgresServer(small_disk="64m")
    made.start()
    sql(made.url(), f"CREATE TABLESPACE small LOCATION '{made.disk}'")
    yield made
    made.remove()


@pytest.fixture
def pair(tmp_path: Path, server: PostgresServer) -> Iterator[Pair]:
    with two_nodes(tmp_path, server.url(), {**LINGERING, "measure.py": MEASURE}, lease_s=60) as pair:
        sql(server.url(), f'ALTER DATABASE "{urlsplit(pair.database).path[1:]}" SET TABLESPACE small')
        yield pair


def test_accepted_runs_stay_new_ones_are_refused_and_work_goes_on_with_room(pair: Pair) -> None:
    client = pair.first.start()
    client.pause("held")
    lingering = client.scheduleTask("linger").id
    eventually(lambda: pair.log() == ["begin 1"])

    with contextlib.closing(Shell(pair.database)) as shell:
        _fill(shell)
        accepted: list[str] = []
        with pytest.raises(StoreFullError, match="no room on the disk"):
            _schedule(client, accepted)
        assert readiness(client) == 503
        pair.let_go(1)
        eventually(lambda: pair.log() == ["begin 1", "end 1"])
        assert all(client.getRun(run).status() == "queued" for run in accepted)
        shell.sql("DROP TABLE ballast")

    client.resume("held")
    accepted.append(client.scheduleTask("measure", {"text": ""}).id)
    assert readiness(client) == 200
    eventually(lambda: all(client.getRun(run).status() == "succeeded" for run in accepted), within_s=60)
    shown = client.wait(lingering, "30s")
    assert (shown["status"], shown["result"], shown["attempt_count"]) == ("succeeded", 1, 1)
    client.close()
    assert pair.first.stop() == 0


def _fill(shell: Shell) -> None:
    """Leave not one free page on the disk."""
    shell.sql("CREATE TABLE ballast (page text NOT NULL)")
    shell.sql("ALTER TABLE ballast ALTER COLUMN page SET STORAGE PLAIN")
    for pages in (1000, 100, 10, 1):
        with contextlib.suppress(asyncpg.DiskFullError):
            while True:
                shell.sql(f"INSERT INTO ballast SELECT repeat('x', 5000) FROM generate_series(1, {pages})")


def _schedule(client: Client, accepted: list[str]) -> None:
    while True:
        accepted.append(client.scheduleTask("measure", {"text": secrets.token_hex(50_000)}, queue="held").id)
