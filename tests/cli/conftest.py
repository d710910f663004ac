"""The command line as people start it: a process of its own, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Isolane = Callable[..., subprocess.CompletedProcess]

TASKS = {
    "greet": """
        def run(parameters):
            print("hello", parameters["name"])
            return {"greeted": parameters["name"], "exact": 2**64}
    """,
    "fail": """
        import sys

        def run(parameters):
            print("forged\\x1b[31m\\x9b1m", file=sys.stderr)
            raise ValueError("no way\\x1b]0;title\\x07")
    """,
    "vanish": """
        import os

        def run():
            os._exit(7)
    """,
    "linger": """
        import time

        def run():
            print("begun", flush=True)
            time.sleep(3600)
    """,
    "broken": "import nothing_of_this_name",
}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "runner", *arguments]


def environment(**more: str) -> dict[str, str]:
    """Nothing of the caller's own settings."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "HOME", "TMPDIR"}}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONSAFEPATH": "1", **more}


def call(folder: Path, *arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess:
    """One call of `isolane` in `folder`."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        input=stdin,
        env=environment(**more),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.fixture
def isolane(tmp_path) -> Isolane:
    """Calls `isolane` in an empty folder."""
    return lambda *arguments, **kwargs: call(tmp_path, *arguments, **kwargs)


@dataclass
class Project:
    """A folder with tasks, and the server that serves them."""

    folder: Path
    url: str

    def __call__(self, *arguments: str, **kwargs: str) -> subprocess.CompletedProcess:
        """Call `isolane` in it."""
        return call(self.folder, *arguments, **kwargs)

    def json(self, *arguments: str) -> Any:
        """What a call with `--json` prints."""
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def http(self, path: str) -> Any:
        """What HTTP answers."""
        token = (self.folder / ".isolane/token").read_text().strip()
        request = urllib.request.Request(f"{self.url}/api/v1{path}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def schedule(self, *arguments: str) -> str:
        """Schedule a run; its id."""
        done = self("schedule", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def write_project(folder: Path) -> None:
    (folder / "config").mkdir()
    (folder / "config/isolane.toml").write_text("")
    (folder / "tasks").mkdir()
    for name, code in TASKS.items():
        (folder / f"tasks/{name}.py").write_text(textwrap.dedent(code))


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Iterator[Project]:
    """A server for all tests, which use queues and tags of their own."""
    folder = tmp_path_factory.mktemp("project")
    write_project(folder)
    with (
        (folder / "serve.log").open("wb") as log,
        subprocess.Popen(
            command("serve", "--port", "0"), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=log, text=True
        ) as server,
    ):
        try:
            greeting = server.stdout.readline()
            assert greeting.startswith("isolane serves http://"), (folder / "serve.log").read_text()
            yield Project(folder, greeting.split()[-1])
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=60)
    assert server.returncode == 0, (folder / "serve.log").read_text()
