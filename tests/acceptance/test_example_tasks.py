"""The example tasks do what they say, on a real server."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.errors import RunFailedError
from runner.sdk.client import Client
from support.servers import server_in

PROJECT = Path(__file__).parents[2]

ENDINGS = {
    "raises": "error",
    "returns_no_json": "error",
    "exits": "crash",
    "exits_hard": "crash",
    "segfault": "crash",
    "kills_itself": "crash",
    "hangs_up": "crash",
    "eats_memory": "out_of_memory",
    "eats_memory_in_a_child": "out_of_memory",
    "sleeps": "timeout",
    "spins": "timeout",
    "ignores_sigterm": "timeout",
    "stops_itself": "timeout",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for name in ("tasks", "config", "data"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "words-*"))
    config = folder / "config" / "isolane.toml"
    config.write_text(config.read_text().replace('stop_grace = "5s"', 'stop_grace = "100ms"'))
    return folder


@pytest.fixture(scope="module")
def client(project: Path) -> Iterator[Client]:
    with server_in(project) as server:
        client = server.start()
        yield client
        client.close()
        assert server.stop() == 0


def test_the_pipeline_counts_every_word_of_every_text(client: Client, project: Path) -> None:
    answer = client.scheduleTask("wordcount.split").result(timeout="1m")

    words = Counter(
        word
        for text in (project / "data" / "texts").glob("*.txt")
        for raw in text.read_text().split()
        if (word := raw.strip(".,:;!?'\"").lower())
    )
    report = json.loads((project / "data" / "reports" / answer["report"]).read_text())
    assert report["words"] == words
    assert answer["texts"] == 5


def test_one_task_calls_others_and_waits(client: Client) -> None:
    answer = client.scheduleTask("compare", {"texts": ["post.txt", "signalbox.txt"]}).result(timeout="1m")

    assert "staff" not in answer["shared"]
    assert "the" in answer["shared"]


def test_the_periodic_task_has_a_schedule_and_runs_by_hand_too(client: Client) -> None:
    assert client.scheduleTask("freshness.freshness").result(timeout="1m")["reports"] >= 0


def test_every_way_to_end_ends_as_it_says(client: Client) -> None:
    handles = {name: client.scheduleTask(f"endings.{name}") for name in ENDINGS}
    for name, reason in ENDINGS.items():
        with pytest.raises(RunFailedError) as failed:
            handles[name].result(timeout="2m")
        assert failed.value.reason == reason, name
    for name in ("returns", "leaves_a_daemon", "leaves_a_thread"):
        client.scheduleTask(f"endings.{name}").result(timeout="1m")
