"""Three nodes on one PostgreSQL; nodes are killed and replaced, the database too: nothing is lost, nothing overlaps."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.postgres import PostgresServer, create_database, sql
from support.projects import write_project
from support.servers import Server, server_in
from support.ticks import MOUNT, TICK, Ticks
from support.waiting import eventually

NODES, RUNS, QUEUES = 3, 3000, 150
#: After how many runs each something is killed: a node, or (every fourth time, twice in all) the database.
STEP = RUNS // 12

CONFIG = """
[runner]
store = "{store}"
concurrency = 2
memory = "2GB"
lease = "2s"
[defaults]
timeout = "60s"
memory = "128MB"
"""


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    server = PostgresServer("fsync=on")
    server.start()
    try:
        yield server
    finally:
        server.remove()


def test_nothing_is_lost_and_nothing_overlaps(tmp_path: Path, database: PostgresServer) -> None:
    store = create_database(database.url())
    (tmp_path / "ticks").mkdir()
    ticks = Ticks(tmp_path / "ticks")
    config = CONFIG.format(store=store) + MOUNT.format(ticks=str(tmp_path / "ticks"))
    with contextlib.ExitStack() as stack:
        nodes: list[Server] = []
        for number in range(NODES):
            project = write_project(tmp_path / f"node{number}", {"tick.py": TICK}, config)
            nodes.append(stack.enter_context(server_in(project)))
            client = nodes[-1].start()
            for start in range(number * 1000, (number + 1) * 1000, 500):
                client.scheduleTasks(
                    [{"task": "tick", "queue": f"q{each % QUEUES}"} for each in range(start, start + 500)]
                )
            client.close()
        for step in itertools.count(1):
            done = min(step * STEP, RUNS)
            eventually(lambda done=done: ticks.ends() >= done, within_s=120)
            if done == RUNS:
                break
            if step in (4, 8):
                database.kill()
                database.start()
            else:
                node = random.choice(nodes)
                node.kill()
                node.start().close()
        eventually(lambda: _succeeded(store) == RUNS, within_s=120)
        for node in nodes:
            assert node.stop() == 0

    ticks.check(queues=QUEUES, runs=RUNS)


def _succeeded(store: str) -> int:
    [(count,)] = sql(store, "SELECT count(*) FROM runs WHERE status = 'succeeded'")
    return int(count)
