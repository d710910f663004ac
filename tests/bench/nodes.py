"""How much faster are two nodes of one slot than one? `make bench-nodes`

    python tests/bench/nodes.py [ROUNDS]

Drains the same tasks, each of which burns a core for a while, with one node and with two, that share a database of one
PostgreSQL on this machine. It is measured twice: with a core for each node, as on machines of their own, and with both
cores for all, where a kernel may leave one of them idle for milliseconds while two wait for the other. PostgreSQL
always has both. Machines drift by more than what is asked for here, so all take turns every few seconds: a round is
2,000 runs each way, and who waits meanwhile does nothing. Needs two cores that have nothing else to do, so it hardly
looks while they drain: when the runs of a turn began and ended is read from the store.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from runner.sdk.client import Client
from support.postgres import PostgresServer, Shell, create_database
from support.processes import adopt_orphans
from support.projects import write_project
from support.servers import server_in

ROUNDS, TURNS, RUNS_A_TURN, BURN_S = 2, 4, 500, 0.020
#: All runs of a turn are due at one instant, so long after they are scheduled: only draining is measured.
LEAD_S = 3
LOOK_S = 1

TASK = f"""
import time

def run(parameters):
    until = time.thread_time() + {BURN_S}
    while time.thread_time() < until:
        pass
"""

CONFIG = """
[runner]
store = "{store}"
concurrency = 1
memory = "1GB"
[defaults]
memory = "128MB"
"""


def main(rounds: int) -> None:
    """Measure all in turn, and print the ratios."""
    adopt_orphans()
    both = sorted(os.sched_getaffinity(0))[:2]
    places = {"a core for each node": [{core} for core in both], "both cores for all": [set(both)] * 2}
    postgres = PostgresServer("fsync=on", "autovacuum_naptime=1min")
    postgres.start()
    try:
        with contextlib.ExitStack() as stack:
            crews = {
                name: [stack.enter_context(crew(postgres, cores[:nodes])) for nodes in (1, 2)]
                for name, cores in places.items()
            }
            ratios: dict[str, list[float]] = {name: [] for name in places}
            for _ in range(rounds):
                for each in (each for _ in range(TURNS) for name in places for each in crews[name]):
                    each.drain()
                for name in places:
                    one, two = (each.rate() for each in crews[name])
                    ratios[name].append(two / one)
                    print(f"{name}: one {one:.1f} runs/s, two {two:.1f} runs/s, ratio {two / one:.2f}", flush=True)
    finally:
        postgres.remove()
    for name in places:
        print(f"{name}: the median of the ratios {statistics.median(ratios[name]):.2f}")


class Crew:
    """Nodes that share a database of their own."""

    def __init__(self, client: Client, store: str) -> None:
        self._client, self._store = client, store
        self._scheduled = 0
        self._taken_s: list[float] = []

    def drain(self) -> None:
        """Execute the runs of one turn."""
        due = datetime.now(UTC) + timedelta(seconds=LEAD_S)
        self._client.scheduleTasks([{"task": "burn", "at": due}] * RUNS_A_TURN)
        assert datetime.now(UTC) < due, "scheduling took longer than the lead"
        self._scheduled += RUNS_A_TURN
        while (counts := self._client.count())["succeeded"] < self._scheduled:
            assert not counts["failed"], counts
            time.sleep(LOOK_S)
        with contextlib.closing(Shell(self._store)) as shell:
            ((began_us, ended_us),) = shell.sql(
                "SELECT min(started_at), max(finished_at) FROM runs WHERE due_at = (SELECT max(due_at) FROM runs)"
            )
        self._taken_s.append((ended_us - began_us) / 1e6)

    def rate(self) -> float:
        """Runs a second since this was last asked."""
        rate = RUNS_A_TURN * len(self._taken_s) / sum(self._taken_s)
        self._taken_s.clear()
        return rate


@contextlib.contextmanager
def crew(postgres: PostgresServer, places: list[set[int]]) -> Iterator[Crew]:
    """A node on each of these sets of cores, at work."""
    store = create_database(postgres.url())
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        clients, servers = [], []
        for number, cores in enumerate(places):
            project = write_project(Path(folder, str(number)), {"burn.py": TASK}, CONFIG.format(store=store))
            servers.append(stack.enter_context(server_in(project)))
            with on(cores):
                clients.append(stack.enter_context(contextlib.closing(servers[-1].start())))
        yield Crew(clients[0], store)
        for server in servers:
            server.stop()


@contextlib.contextmanager
def on(cores: set[int]) -> Iterator[None]:
    """What is started meanwhile, and all that it starts, runs on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
