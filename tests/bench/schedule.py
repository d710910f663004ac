"""How fast are runs scheduled, against what the store itself commits? `make bench-schedule`

For SQLite and for PostgreSQL: single rows committed one after the other, past isolane; then runs over HTTP by one
client, by sixteen, and in batches without and with queues. The clients do no more than send bytes and read answers, but
they share the machine with the server (and the database). The node is drained first: only scheduling is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.postgres import PostgresServer, create_database
from support.processes import adopt_orphans
from support.projects import CONFIG, write_project
from support.servers import server_in

ROUNDS, SLICE_S = 8, 0.5
CLIENTS = 16
BATCH, QUEUES = 1000, 500
RUN = {"task": "greet", "parameters": {"name": "Ada", "numbers": [1, 2, 3]}}
LIMITS = "[limits]\nwaiting_per_app = 10_000_000\nwaiting_per_queue = 10_000_000\n"
#: Does its work again and again until this instant of the monotonic clock; returns how often.
Load = Callable[[float], Awaitable[int]]


def main() -> None:
    """Measure on both stores, and print the ratios."""
    adopt_orphans()
    postgres = PostgresServer("fsync=on")
    postgres.start()
    try:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            with contextlib.closing(sqlite3.connect(Path(folder, "rows.db"), isolation_level=None)) as rows:
                report("SQLite", sqlite_commits(rows), Path(folder, "on-sqlite"), "sqlite:.isolane/isolane.db")
            database = create_database(postgres.url())
            report("PostgreSQL", postgres_commits(database), Path(folder, "on-postgres"), database)
    finally:
        postgres.remove()


def report(store: str, commits: Load, folder: Path, url: str) -> None:
    """Measure a server on the store at `url`, and print it."""
    config = CONFIG.replace("[runner]", f'[runner]\nstore = "{url}"') + LIMITS
    project = write_project(folder, {"greet.py": "def run(parameters):\n    pass\n"}, config)
    with server_in(project) as server:
        client = server.start()
        client.drain(client.nodes()["items"][0]["name"])
        token = (project / ".isolane" / "token").read_text().strip()
        rows, one, many, plain, queued = asyncio.run(rates([commits, *over_http(client.url, token)]))
        server.stop()
    print(f"{store}\n  rows committed one by one {rows:9.0f} a second")
    print(f"  one client                {one:9.0f} a second, {one / rows:6.2f} of that (wanted: 0.25)")
    print(f"  {CLIENTS} clients                {many:9.0f} a second, {many / rows:6.2f} of that (wanted: 1)")
    print(f"  batches of {BATCH}           {BATCH * plain:9.0f} a second (wanted: 10,000)")
    print(f"  over {QUEUES} queues           {BATCH * queued:9.0f} a second (wanted: 10,000)", flush=True)


async def rates(loads: Sequence[Load]) -> list[float]:
    """How often a second each is done. In turns, so that what else the machine and its disk do falls on all alike."""
    done, took_s = [0] * len(loads), [0.0] * len(loads)
    for _ in range(ROUNDS):
        for each, load in enumerate(loads):
            begun = time.monotonic()
            done[each] += await load(begun + SLICE_S)
            took_s[each] += time.monotonic() - begun
    return [times / seconds for times, seconds in zip(done, took_s, strict=True)]


def sqlite_commits(connection: sqlite3.Connection) -> Load:
    """Rows that each have a commit of their own, which waits for the disk."""
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE rows (a, b)")

    async def load(until: float) -> int:
        rows = 0
        while time.monotonic() < until:
            connection.execute("INSERT INTO rows VALUES (?, ?)", (rows, "a row of some text"))
            rows += 1
        return rows

    return load


def postgres_commits(url: str) -> Load:
    """The same, over one connection."""

    async def load(until: float) -> int:
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE IF NOT EXISTS rows (a bigint, b text)")
        rows = 0
        while time.monotonic() < until:
            await connection.execute("INSERT INTO rows VALUES ($1, $2)", rows, "a row of some text")
            rows += 1
        await connection.close()
        return rows

    return load


def over_http(url: str, token: str) -> list[Load]:
    """One client, sixteen, batches without queues and with."""
    single = request(url, token, "/api/v1/runs", RUN)
    plain = request(url, token, "/api/v1/runs/batch", {"runs": [RUN] * BATCH})
    spread = [{**RUN, "queue": f"lane-{number % QUEUES}"} for number in range(BATCH)]
    queued = request(url, token, "/api/v1/runs/batch", {"runs": spread})
    return [clients(url, single, 1), clients(url, single, CLIENTS), clients(url, plain, 2), clients(url, queued, 2)]


def request(url: str, token: str, path: str, document: object) -> bytes:
    """The bytes of a POST."""
    body = json.dumps(document).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def clients(url: str, message: bytes, count: int) -> Load:
    """So many clients that send this request, and the next when it was answered."""

    async def load(until: float) -> int:
        return sum(await asyncio.gather(*(converse(url, message, until) for _ in range(count))))

    return load


async def converse(url: str, message: bytes, until: float) -> int:
    """Send and read until the time is over; returns how many answers there were."""
    host = urlsplit(url)
    done = asyncio.get_running_loop().create_future()
    await asyncio.get_running_loop().create_connection(
        lambda: Conversation(message, until, done), host.hostname, host.port
    )
    return await done


class Conversation(asyncio.Protocol):
    """One connection that asks again as soon as it was answered; a protocol, which costs the least."""

    def __init__(self, message: bytes, until: float, done: asyncio.Future[int]) -> None:
        self._message, self._until, self._done = message, until, done
        self._answers, self._heard = 0, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._message)

    def data_received(self, data: bytes) -> None:
        self._heard = self._heard + data if self._heard else data
        head, end, body = self._heard.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]):
            return
        if not head.startswith(b"HTTP/1.1 201"):
            self._done.set_exception(AssertionError(self._heard[:500]))
            self._transport.close()
            return
        self._answers, self._heard = self._answers + 1, b""
        if time.monotonic() < self._until:
            self._transport.write(self._message)
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(self._answers) if error is None else self._done.set_exception(error)


if __name__ == "__main__":
    main()
