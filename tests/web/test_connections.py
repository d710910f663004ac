"""However many connections say nothing, say it slowly or do not listen: whoever asks is answered."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from runner.web.exchange import OPERATIONS
from runner.web.server import Server
from support.raw_http import raw, status
from support.waiting import eventually_async

MOST = 64
HEALTH = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
KNOWN = "GET /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret\r\n\r\n"
KNOWN_ONCE = KNOWN.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
HALF = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-"


@pytest.fixture(autouse=True)
def looked_at_often(monkeypatch):
    monkeypatch.setattr("runner.web.http.listener._LOOK_S", 0.02)


@pytest.fixture
async def server(standin) -> AsyncIterator[Server]:
    async def authenticate(_: bytes) -> str | None:
        return "main"

    server = Server(standin, authenticate, parameters_bytes=1000, connections=MOST)
    server.url = await server.start("127.0.0.1", 0)
    yield server
    await server.stop()


@asynccontextmanager
async def connected(server, count: int = 1, say: bytes = b""):
    """Connections that have said this; all are closed in the end."""
    port = int(server.url.rpartition(":")[2])
    opened = []
    try:
        for _ in range(count):
            opened.append(await asyncio.open_connection("127.0.0.1", port))
            opened[-1][1].write(say)
        yield opened
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def ask(reader, writer, request: str) -> int:
    """The status of an answer on a connection that stays open."""
    writer.write(request.encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split()[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    await reader.readexactly(length)
    return status(head)


async def is_closed(reader) -> bool:
    async with asyncio.timeout(10):
        try:
            return await reader.read() is not None
        except ConnectionError:
            return True


@pytest.mark.parametrize("say", [b"", HALF, b"\r\n\r\n" + HALF])
async def test_any_number_of_half_requests_keeps_nobody_waiting(server, say):
    async with connected(server, 5 * MOST, say):
        for request in (HEALTH, HEALTH, KNOWN_ONCE):
            assert status(await raw(server.url, request)) == 200


async def test_who_showed_a_token_is_not_cut_off_for_strangers(server):
    async with connected(server, MOST // 4) as known:
        assert [await ask(*each, KNOWN) for each in known] == [200] * len(known)
        async with connected(server, 3 * MOST, HALF):
            assert status(await raw(server.url, HEALTH)) == 200
            assert [await ask(*each, KNOWN) for each in known] == [200] * len(known)


async def test_who_showed_a_token_leaves_places_for_strangers(server):
    async with AsyncExitStack() as stack:
        known = []
        for _ in range(2 * MOST):
            known += await stack.enter_async_context(connected(server))
            assert await ask(*known[-1], KNOWN) == 200
        assert status(await raw(server.url, HEALTH)) == 200
        assert await ask(*known[-1], KNOWN) == 200
        assert await is_closed(known[0][0])  # the one that was idle for longest


async def test_when_all_wait_for_an_answer_one_more_is_told_so(server):
    wait = KNOWN.replace("runs", "runs/019aa3d4-0000-7000-8000-000000000000?wait=60s", 1).encode()
    async with connected(server, MOST - MOST // 8, wait):
        await eventually_async(lambda: len(server._app[OPERATIONS].calls) == MOST - MOST // 8)

        answer = await raw(server.url, KNOWN_ONCE)

        assert status(answer) == 503
        assert b"too many clients" in answer
        assert status(await raw(server.url, HEALTH)) == 200


async def test_what_had_to_be_closed_is_said_once_a_minute(server, caplog):
    caplog.set_level(logging.INFO)

    async with connected(server, 6 * MOST, HALF):
        assert status(await raw(server.url, HEALTH)) == 200

    assert [record.getMessage()[:40] for record in caplog.records] == ["no room for more than 64 connections (co"]


@pytest.mark.parametrize("piece", [b"a", b"a: b\r\n", b""])
async def test_a_head_has_its_time_however_it_drips(server, monkeypatch, piece):
    monkeypatch.setattr("runner.web.http.connection.HEAD_S", 0.3)

    async with connected(server, 1, HALF) as [(reader, writer)], asyncio.timeout(10):
        closed = asyncio.create_task(is_closed(reader))
        while not closed.done():
            writer.write(piece)
            await asyncio.wait([closed], timeout=0.02)
        assert closed.result()


async def test_the_second_head_has_a_time_too(server, monkeypatch):
    monkeypatch.setattr("runner.web.http.connection.HEAD_S", 0.3)

    async with connected(server) as [(reader, writer)]:
        assert await ask(reader, writer, KNOWN) == 200
        writer.write(HALF)
        assert await is_closed(reader)


async def test_a_connection_that_asks_nothing_more_is_closed(server, monkeypatch):
    monkeypatch.setattr("runner.web.http.connection.IDLE_S", 0.2)

    async with connected(server) as [(reader, writer)]:
        assert await ask(reader, writer, KNOWN) == 200
        assert await is_closed(reader)


async def test_waiting_for_an_answer_takes_as_long_as_it_takes(server, monkeypatch):
    for name in ("HEAD_S", "IDLE_S"):
        monkeypatch.setattr(f"runner.web.http.connection.{name}", 0.1)
    wait = KNOWN.replace("runs", "runs/019aa3d4-0000-7000-8000-000000000000?wait=60s", 1)

    async with connected(server) as [(reader, writer)]:
        writer.write(wait.encode())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 1)
        server._app[OPERATIONS].end()
        assert status(await reader.readuntil(b"\r\n")) == 200


async def test_a_head_without_end_is_refused(server):
    async with connected(
        server, 1, b"GET / HTTP/1.1\r\n" + b"".join(b"x%d: %b\r\n" % (n, b"y" * 4000) for n in range(40))
    ) as [(reader, _)]:
        assert b"64 KB" in await reader.read()


@pytest.mark.parametrize("after", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"])
async def test_a_client_that_does_not_read_holds_nothing(server, monkeypatch, after):
    monkeypatch.setattr("runner.web.http.connection.STALLED_S", 0.3)
    for _ in range(100):
        server._app[OPERATIONS].write("x" * 300_000)
    logs = KNOWN.replace("runs", "runs/019aa3d4-0000-7000-8000-000000000000/logs", 1).encode()

    async with connected(server, 1, logs + after):
        await eventually_async(lambda: bool(server._listener._known), 10)
        await eventually_async(lambda: not server._listener._known, 10)


async def test_a_slow_reader_gets_all_of_it(server, monkeypatch):
    monkeypatch.setattr("runner.web.http.connection.STALLED_S", 1.0)
    for _ in range(100):
        server._app[OPERATIONS].write("x" * 100_000)
    logs = KNOWN.replace("runs", "runs/019aa3d4-0000-7000-8000-000000000000/logs", 1)

    async with connected(server, 1, logs.encode()) as [(reader, _)]:
        size = 0
        while size < 10_000_000:
            part = await reader.read(1 << 18)
            assert part
            size += len(part)
            assert status(await raw(server.url, KNOWN_ONCE)) == 200  # takes its time


async def test_without_descriptors_clients_wait_and_one_line_is_logged(server, monkeypatch, caplog):
    monkeypatch.setattr("runner.web.http.listener._PAUSE_S", 0.01)
    loop, port = asyncio.get_running_loop(), int(server.url.rpartition(":")[2])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients = [socket.socket() for _ in range(3)]
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        for client in clients:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, HEALTH.encode())
        await eventually_async(lambda: server._listener._refusal._count >= 3)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    answers = [await loop.sock_recv(client, 100) for client in clients]
    for client in clients:
        client.close()

    assert [status(answer) for answer in answers] == [200] * 3
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "the system allows no more connections than the 0 there are: it refused 1 times"
    ]
