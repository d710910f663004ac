"""Two `isolane serve` on one PostgreSQL, one of them through a relay that can be cut."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.sdk.client import Client
from support.postgres import create_database, drop_database
from support.projects import write_project
from support.relay import Relay, relay_to
from support.servers import Server, server_in
from support.waiting import eventually

LEASE_S = 1.0
CONFIG = """
[runner]
name = "{name}"
store = "{store}"
store_patience = "3s"
concurrency = 2
memory = "2GB"
lease = "{lease_s:g}s"
[defaults]
timeout = "60s"
memory = "128MB"
[[mounts]]
source = "{shared}"
target = "/shared"
writable = true
"""

#: Holds its queue's lock until it is let go, and answers which attempt it was.
LINGER = """
import fcntl, os, time

def run(parameters, context):
    log = os.open("/shared/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    lock = os.open("/shared/lock", os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.write(log, f"overlap {context.attempt}\\n".encode())
        raise
    os.write(log, f"begin {context.attempt}\\n".encode())
    while not os.path.exists(f"/shared/go {context.attempt}"):
        time.sleep(0.01)
    os.write(log, f"end {context.attempt}\\n".encode())
    return context.attempt
"""
LINGERING = {"linger.py": LINGER}


@dataclass
class Pair:
    """The first node reaches the database through a relay, the second by itself."""

    first: Server
    second: Server
    relay: Relay
    shared: Path
    database: str

    def log(self) -> list[str]:
        path = self.shared / "log"
        return path.read_text().splitlines() if path.exists() else []

    def let_go(self, attempt: int) -> None:
        (self.shared / f"go {attempt}").touch()

    def begin(self) -> tuple[Client, str]:
        """A run that lingers on the first node; then the second starts. A client of the second, and the run's id."""
        client = self.first.start()
        run = client.scheduleTask("linger", queue="q").id
        client.close()
        eventually(lambda: self.log() == ["begin 1"])
        return self.second.start(), run


@contextlib.contextmanager
def two_nodes(
    folder: Path, postgres: str, tasks: Mapping[str, str] = LINGERING, lease_s: float = LEASE_S
) -> Iterator[Pair]:
    """Two nodes that are not started yet, on a database of their own of the server `postgres`."""
    database = create_database(postgres)
    relay, through = relay_to(database)
    shared = folder / "shared"
    shared.mkdir()
    try:
        with contextlib.ExitStack() as stack:
            servers = []
            for name, store in (("first", through), ("second", database)):
                config = CONFIG.format(name=name, store=store, shared=shared, lease_s=lease_s)
                project = write_project(folder / name, tasks, config)
                servers.append(stack.enter_context(server_in(project)))
            yield Pair(*servers, relay, shared, database)
            for server in servers:  # before either looks what is left
                if server.process is not None and server.process.poll() is None:
                    server.kill()
    finally:
        relay.close()
        drop_database(postgres, database)
