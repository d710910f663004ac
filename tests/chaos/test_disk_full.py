"""No file can grow any more under the running server, as on a full disk; then there is room again."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from runner.errors import StoreError
from runner.sdk.client import Client
from support.projects import write_project
from support.servers import server_in
from support.waiting import eventually

TASK = "def run(parameters):\n    return len(parameters['text'])\n"
TEXT = "x" * 100_000


def test_accepted_runs_stay_new_ones_are_refused_and_work_goes_on_with_room(tmp_path: Path) -> None:
    project = write_project(tmp_path, {"measure.py": TASK})
    with server_in(project) as server:
        client = server.start()
        client.pause("held")
        accepted = [client.scheduleTask("measure", {"text": TEXT}, queue="held").id for _ in range(5)]

        assert server.process is not None
        largest = max(path.stat().st_size for path in (project / ".isolane").glob("*.db*"))
        _limit_files(server.process.pid, largest + (1 << 20))
        with pytest.raises(StoreError):
            _fill(client, accepted)
        assert client.getRun(accepted[-1]).status() == "queued"

        _limit_files(server.process.pid, resource.RLIM_INFINITY)
        accepted.append(client.scheduleTask("measure", {"text": TEXT}, queue="held").id)
        client.resume("held")
        eventually(lambda: _all_succeeded(client, accepted), within_s=120)
        client.close()
        assert server.stop() == 0


def _fill(client: Client, accepted: list[str]) -> None:
    for _ in range(1000):
        run = client.scheduleTask("measure", {"text": TEXT}, queue="held")
        accepted.append(run.id)


def _limit_files(pid: int, size: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


def _all_succeeded(client: Client, runs: list[str]) -> bool:
    return all(client.getRun(run).status() == "succeeded" for run in runs)
