"""How much faster are two nodes of one slot than one? `make bench-nodes`

    python tests/bench/nodes.py [ROUNDS]

Drains the same tasks, each of which burns a core for a while, with one node and then with two, on one PostgreSQL on
this machine. Needs two cores that do nothing else, so it hardly looks while they drain: when the last run ended is read
from the store.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.postgres import PostgresServer, Shell, create_database
from support.processes import adopt_orphans
from support.projects import write_project
from support.servers import server_in

ROUNDS, RUNS, BURN_S = 3, 2000, 0.020
#: All runs are due at one instant, so long after the first is scheduled: only draining is measured.
LEAD_S = 10
LOOK_S = 2

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
    """Measure both in turn, and print the ratios."""
    adopt_orphans()
    postgres = PostgresServer("fsync=on")
    postgres.start()
    ratios = []
    try:
        for _ in range(rounds):
            one, two = (drain(postgres, nodes) for nodes in (1, 2))
            ratios.append(two / one)
            print(f"one node {one:.1f} runs/s, two nodes {two:.1f} runs/s, ratio {two / one:.2f}", flush=True)
    finally:
        postgres.remove()
    print(f"the median of the ratios {statistics.median(ratios):.2f}")


def drain(postgres: PostgresServer, nodes: int) -> float:
    """Runs a second."""
    store = create_database(postgres.url())
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        config = CONFIG.format(store=store)
        projects = [write_project(Path(folder, str(number)), {"burn.py": TASK}, config) for number in range(nodes)]
        servers = [stack.enter_context(server_in(project)) for project in projects]
        clients = [server.start() for server in servers]
        due = datetime.now(UTC) + timedelta(seconds=LEAD_S)
        for _ in range(0, RUNS, 500):
            clients[0].scheduleTasks([{"task": "burn", "at": due}] * 500)
        assert datetime.now(UTC) < due, "scheduling took longer than the lead"
        while (counts := clients[0].count())["succeeded"] < RUNS:
            assert not counts["failed"], counts
            time.sleep(LOOK_S)
        for client, server in zip(clients, servers, strict=True):
            client.close()
            server.stop()
        with contextlib.closing(Shell(store)) as shell:
            ((ended_us,),) = shell.sql("SELECT max(finished_at) FROM runs")
    return RUNS / (ended_us / 1e6 - due.timestamp())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
