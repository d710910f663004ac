"""How much faster are two nodes of one slot than one? `make bench-nodes`

    python tests/bench/nodes.py [ROUNDS]

Drains the same tasks, each of which burns a core for a while, with one node and with two, each on a database of their
own of one PostgreSQL on this machine. Machines drift by more than what is asked for here, so the two take turns every
few seconds: a round is 2,000 runs each way, and who waits meanwhile does nothing. Needs two cores that have nothing
else to do, so it hardly looks while they drain: when the last run ended is read from the store.
"""

from __future__ import annotations

import contextlib
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

ROUNDS, TURNS, RUNS_A_TURN, BURN_S = 3, 4, 500, 0.020
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
    """Measure both in turn, and print the ratios."""
    adopt_orphans()
    postgres = PostgresServer("fsync=on", "autovacuum_naptime=1min")
    postgres.start()
    ratios = []
    try:
        with crew(postgres, 1) as alone, crew(postgres, 2) as together:
            for _ in range(rounds):
                taken_s = {alone: 0.0, together: 0.0}
                for _ in range(TURNS):
                    for each in taken_s:
                        taken_s[each] += each.drain_s()
                one, two = (TURNS * RUNS_A_TURN / each for each in taken_s.values())
                ratios.append(two / one)
                print(f"one node {one:.1f} runs/s, two nodes {two:.1f} runs/s, ratio {two / one:.2f}", flush=True)
    finally:
        postgres.remove()
    print(f"the median of the ratios {statistics.median(ratios):.2f}")


class Crew:
    """Nodes that share a database of their own."""

    def __init__(self, client: Client, store: str) -> None:
        self._client, self._store = client, store
        self._scheduled = 0

    def drain_s(self) -> float:
        """Seconds in which it executes the runs of one turn."""
        due = datetime.now(UTC) + timedelta(seconds=LEAD_S)
        self._client.scheduleTasks([{"task": "burn", "at": due}] * RUNS_A_TURN)
        assert datetime.now(UTC) < due, "scheduling took longer than the lead"
        self._scheduled += RUNS_A_TURN
        while (counts := self._client.count())["succeeded"] < self._scheduled:
            assert not counts["failed"], counts
            time.sleep(LOOK_S)
        with contextlib.closing(Shell(self._store)) as shell:
            ((ended_us,),) = shell.sql("SELECT max(finished_at) FROM runs")
        return float(ended_us) / 1e6 - due.timestamp()


@contextlib.contextmanager
def crew(postgres: PostgresServer, nodes: int) -> Iterator[Crew]:
    """So many nodes, at work."""
    store = create_database(postgres.url())
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        config = CONFIG.format(store=store)
        projects = [write_project(Path(folder, str(number)), {"burn.py": TASK}, config) for number in range(nodes)]
        servers = [stack.enter_context(server_in(project)) for project in projects]
        clients = [stack.enter_context(contextlib.closing(server.start())) for server in servers]
        yield Crew(clients[0], store)
        for server in servers:
            server.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
