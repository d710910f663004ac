"""The runner is killed with SIGKILL, again and again, under full load: nothing is lost, and no queue overlaps."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

from support.projects import write_project
from support.servers import server_in
from support.waiting import eventually

RUNS, QUEUES, KILLS, SLOTS = 2000, 100, 5, 4

TICK = '''
"""Holds its queue's file lock while it runs, and writes when it began and ended: killed attempts are seen too."""
import fcntl, os, time

def run(parameters, context):
    ticks = os.open(f"/ticks/{context.queue}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    lock = os.open(f"/ticks/{context.queue}.lock", os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.write(ticks, f"{context.run} {context.attempt} overlap\\n".encode())
        raise
    os.write(ticks, f"{context.run} {context.attempt} begin\\n".encode())
    until = time.monotonic() + 0.005
    while time.monotonic() < until:
        pass
    os.write(ticks, f"{context.run} {context.attempt} end\\n".encode())
'''

CONFIG = f"""
[runner]
concurrency = {SLOTS}
memory = "4GB"
[defaults]
timeout = "60s"
memory = "128MB"
[[mounts]]
source = "ticks"
target = "/ticks"
writable = true
"""


def test_nothing_is_lost_and_nothing_overlaps(tmp_path: Path) -> None:
    project = write_project(tmp_path, {"tick.py": TICK}, CONFIG)
    (project / "ticks").mkdir()
    with server_in(project) as server:
        client = server.start()
        for start in range(0, RUNS, 500):
            client.scheduleTasks(
                [{"task": "tick", "queue": f"q{number % QUEUES}"} for number in range(start, start + 500)]
            )
        for _ in range(KILLS):
            done = _ends(project) + random.randint(1, RUNS // (KILLS + 2))
            eventually(lambda done=done: _ends(project) >= done, within_s=120)
            server.kill()
            client.close()
            client = server.start()
        eventually(lambda: client.count()["succeeded"] == RUNS, within_s=180)
        client.close()
        assert server.stop() == 0

    ticks = {path.name: path.read_text().split("\n")[:-1] for path in (project / "ticks").glob("q*[0-9]")}
    assert len(ticks) == QUEUES
    begins = _check_queues(ticks)
    assert begins <= RUNS + KILLS * SLOTS, "a kill made more run again than was in flight"


def _check_queues(ticks: dict[str, list[str]]) -> int:
    """No two attempts overlap in any queue, and each run ended well; how many attempts began."""
    begins = 0
    for queue, lines in ticks.items():
        current: tuple[str, str] | None = None
        ended: defaultdict[str, int] = defaultdict(int)
        for line in lines:
            run, attempt, what = line.split()
            assert what != "overlap", f"{queue}: {line}"
            if what == "begin":
                # One that was killed never ends; but none that is alive may still be inside.
                current, begins = (run, attempt), begins + 1
            else:
                assert current == (run, attempt), f"{queue}: {line} ended inside another"
                ended[run] += 1
        assert len(ended) == RUNS // QUEUES
    return begins


def _ends(project: Path) -> int:
    return sum(path.read_text().count(" end\n") for path in (project / "ticks").glob("q*[0-9]"))
