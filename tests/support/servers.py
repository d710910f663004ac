"""`isolane serve` as a real process, started and killed by tests."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.sdk.client import Client
from support.waiting import eventually


class Server:
    """A runner in a project. Its output goes to `server.log` there."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, port: int = 0) -> Client:
        """Start it and wait until it answers; a client for it. Port 0 is a free one, another each time."""
        address = self.project / ".isolane" / "server.json"
        with (self.project / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runner", "serve", "--port", str(port)], cwd=self.project, stdout=log, stderr=log
            )
        pid = self.process.pid
        eventually(lambda: self._is_up(address, pid), within_s=60)
        url = json.loads(address.read_text())["url"]
        return Client(url, (self.project / ".isolane" / "token").read_text().strip())

    def _is_up(self, address: Path, pid: int) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended:\n{self.log()}"
        try:
            return bool(json.loads(address.read_text())["pid"] == pid)
        except (FileNotFoundError, ValueError):
            return False

    def kill(self) -> None:
        """SIGKILL the runner, and nothing else."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        self.ask_to_stop()
        return self.process.wait(timeout=30)

    def ask_to_stop(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal, and do not wait for what comes of it."""
        assert self.process is not None
        self.process.send_signal(number)

    def log(self) -> str:
        """All that it printed."""
        return (self.project / "server.log").read_text()


def readiness(client: Client) -> int:
    """The status of `/readyz`."""
    try:
        with urllib.request.urlopen(f"{client.url}/readyz", timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@contextmanager
def server_in(project: Path) -> Iterator[Server]:
    """A server that is dead at the end. That nothing which it started outlives it, every test's teardown checks."""
    server = Server(project)
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
