"""The runner is killed with SIGKILL, again and again, under full load: nothing is lost, and no queue overlaps."""

from __future__ import annotations

import random
from pathlib import Path

from support.projects import write_project
from support.servers import server_in
from support.ticks import MOUNT, TICK, Ticks
from support.waiting import eventually

RUNS, QUEUES, KILLS, SLOTS = 2000, 100, 5, 4

CONFIG = f"""
[runner]
concurrency = {SLOTS}
memory = "4GB"
[defaults]
timeout = "60s"
memory = "128MB"
"""


def test_nothing_is_lost_and_nothing_overlaps(tmp_path: Path) -> None:
    (tmp_path / "ticks").mkdir()
    ticks = Ticks(tmp_path / "ticks")
    project = write_project(tmp_path, {"tick.py": TICK}, CONFIG + MOUNT.format(ticks="ticks"))
    with server_in(project) as server:
        client = server.start()
        for start in range(0, RUNS, 500):
            client.scheduleTasks(
                [{"task": "tick", "queue": f"q{number % QUEUES}"} for number in range(start, start + 500)]
            )
        for _ in range(KILLS):
            done = ticks.ends() + random.randint(1, RUNS // (KILLS + 2))
            eventually(lambda done=done: ticks.ends() >= done, within_s=120)
            server.kill()
            client.close()
            client = server.start()
        eventually(lambda: client.count()["succeeded"] == RUNS, within_s=180)
        client.close()
        assert server.stop() == 0

    begins = ticks.check(queues=QUEUES, runs=RUNS)
    assert begins <= RUNS + KILLS * SLOTS, "a kill made more run again than was in flight"
