"""The command line as people start it: a process of its own, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import termios
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.projects import write_project
from support.servers import Server, server_in

Isolane = Callable[..., subprocess.CompletedProcess]

TASKS = {
    "greet.py": """
        def run(parameters):
            print("hello", parameters["name"])
            return {"greeted": parameters["name"], "exact": 2**64}
    """,
    "fail.py": """
        import sys

        def run(parameters):
            print("forged\\x1b[31m\\x9b1m", file=sys.stderr)
            raise ValueError("no way\\x1b]0;title\\x07")
    """,
    "flaky.py": """
        from runner import Retry, task

        @task(retry=Retry(first="10ms", on=("error",)))
        def run(parameters, context):
            if context.attempt == 1:
                raise ValueError("no first time")
            if context.attempt == 2:
                raise KeyError("nor second")
            return "well"
    """,
    "vanish.py": """
        import os

        def run():
            os._exit(7)
    """,
    "linger.py": """
        import time

        def run():
            print("begun", flush=True)
            time.sleep(3600)
    """,
    "broken.py": "import nothing_of_this_name",
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
    """A folder with tasks, and the address of the server that serves them."""

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

    def open(self, *arguments: str, stderr: int | None = None) -> subprocess.Popen[str]:
        """Start a call whose stdout is read while it goes on."""
        return subprocess.Popen(
            command(*arguments),
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
        )

    def on_terminal(self, *arguments: str, **more: str) -> str:
        """What a call prints on a terminal of 80 columns."""
        inside, outside = pty.openpty()
        termios.tcsetwinsize(outside, (24, 80))
        with subprocess.Popen(
            command(*arguments),
            cwd=self.folder,
            env=environment(TERM="xterm-256color", **more),
            stdin=outside,
            stdout=outside,
            stderr=outside,
        ):
            os.close(outside)
            printed = b""
            # The kernel reports the end of the other side as an I/O error.
            with contextlib.suppress(OSError):
                while part := os.read(inside, 65536):
                    printed += part
        os.close(inside)
        return printed.decode().replace("\r\n", "\n")


@pytest.fixture
def empty_folder(tmp_path) -> Project:
    """A folder in which nobody serves."""
    return Project(tmp_path, url="")


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[tuple[Project, Server]]:
    with server_in(write_project(folder, TASKS)) as server:
        client = server.start()
        client.close()
        yield Project(folder, client.url), server


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Iterator[Project]:
    """A project with a server for a module's tests, which use queues and tags of their own."""
    with _serving(tmp_path_factory.mktemp("project")) as (project, server):
        yield project
        assert server.stop() == 0, server.log()


@pytest.fixture
def served(tmp_path) -> Iterator[tuple[Project, Server]]:
    """A project and a server that the test may stop."""
    with _serving(tmp_path / "served") as pair:
        yield pair
