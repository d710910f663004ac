"""What is cut finely does not hold the event loop either, whoever sends it: chunks of a byte, headers, requests."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from runner.web.http.connection import KNOWN_READ_BYTES, STRANGER_READ_BYTES
from runner.web.server import Server
from support.loop_pauses import watched_loop
from support.raw_http import raw, status

pytestmark = pytest.mark.alone

MOST_S = 0.08
TOKEN = "Authorization: Bearer s3cret\r\n"
CHUNKED = (
    "POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n{}"
    "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)
PIECES = {
    "chunks of a stranger": CHUNKED.format("").encode() + b"1\r\n \r\n" * 200_000,
    "chunks": CHUNKED.format(TOKEN).encode() + b"1\r\n \r\n" * 200_000,
    "headers": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 9_000 + b"\r\n",
    "requests": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5_000,
    "requests with a token": f"GET /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n{TOKEN}\r\n".encode() * 5_000,
    "empty lines": b"\r\n" * 500_000,
}


@pytest.fixture
async def server(standin) -> AsyncIterator[Server]:
    async def authenticate(_: bytes) -> str | None:
        return "main"

    server = Server(standin, authenticate, parameters_bytes=5 << 20)
    server.url = await server.start("127.0.0.1", 0)
    yield server
    await server.stop()


async def send(server: Server, data: bytes) -> None:
    """Send all that is taken, and read nothing. What the kernel takes is there before the server looks once."""
    with socket.create_connection(("127.0.0.1", URL(server.url).port)) as client:
        client.setblocking(False)
        sent = client.send(data)
        client.settimeout(1)
        await asyncio.to_thread(_send_rest, client, data[sent:])


def _send_rest(client: socket.socket, data: bytes) -> None:
    try:
        client.sendall(data)
        client.recv(1)
    except OSError:  # it is closed, or takes nothing more
        pass


@pytest.mark.parametrize("name", PIECES)
async def test_fine_pieces_do_not_hold_the_loop(server, name):
    async with watched_loop() as pauses:
        for _ in range(3):
            await send(server, PIECES[name])

    assert pauses.longest_s < MOST_S


async def test_many_connections_with_fine_pieces_do_not_hold_the_loop(server):
    data = PIECES["chunks of a stranger"]
    async with watched_loop() as pauses:
        await asyncio.gather(*(send(server, data) for _ in range(16)))

    assert pauses.longest_s < MOST_S


async def test_who_has_shown_a_token_is_read_in_larger_pieces(server):
    listener = server._listener
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(server.url).port)
    sizes = []
    for headers in ("", TOKEN):
        writer.write(f"GET /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        [connection] = [*listener._strangers, *listener._known]
        sizes.append(connection.transport.max_size)
    writer.close()

    assert sizes == [STRANGER_READ_BYTES, KNOWN_READ_BYTES]


async def test_chunks_are_not_taken_in_http_1_0(server):
    request = (CHUNKED.format(TOKEN) + '10\r\n{"task":"hello"}\r\n0\r\n\r\n').replace("HTTP/1.1", "HTTP/1.0")

    assert status(await raw(server.url, request)) == 400
