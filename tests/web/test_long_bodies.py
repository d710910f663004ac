"""No body and no answer holds the event loop for long, whatever is in it, and short ones never wait for long ones."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from runner.web.server import Server
from support.loop_pauses import watched_loop
from support.raw_http import problem, raw, status

MOST_S = 0.1
HEALTH = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
AS_MAIN = "Authorization: Bearer s3cret\r\nContent-Type: application/json\r\nConnection: close\r\n"
#: A body by what is strange about it, each as long as it may be; made when it is sent, since all of them are much.
BODIES = {
    "lists": lambda: b'{"runs":[' + b"[]," * 5_000_000 + b"[]]}",
    "numbers": lambda: b'{"runs":[' + b"1," * 7_500_000 + b"1]}",
    "depth": lambda: b'{"runs":' + b"[" * 15_000_000,
    "depth of objects": lambda: b'{"runs":' * 1_800_000,
    "keys": lambda: b"{" + b",".join(b'"k%d":1' % number for number in range(1_000_000)) + b"}",
    "one key again": lambda: b"{" + b'"k":1,' * 2_500_000 + b'"k":1}',
    "long numbers": lambda: b'{"runs":[' + b"9" * 4300 + b"," + (b"9" * 4300 + b",") * 14_000 + b"1]}",
    "one number": lambda: b'{"runs":[' + b"9" * 15_000_000,
    "runs": lambda: b'{"runs":[' + b'{"task":"t"},' * 1_200_000 + b'{"task":"t"}]}',
    "blanks": lambda: b" " * 15_000_000,
    "nothing": lambda: b"\0" * 15_000_000,
    "half characters": lambda: b'{"runs":["' + b"\\ud800" * 2_500_000 + b'"]}',
    "quotes": lambda: b'{"runs":[' + b'"",' * 5_000_000 + b'""]}',
    "text": lambda: b'{"runs":["' + b"x" * 15_000_000 + b'"]}',
    "escapes": lambda: b'{"runs":["' + b"\\n" * 7_500_000 + b'"]}',
    "open text": lambda: b'{"runs":["' + b"x" * 15_000_000,
    "long keys": lambda: b'{"k":' + b"".join(b'{"%b":' % (b"k" * 30_000) for _ in range(500)),
    "texts": lambda: b'{"runs":[' + b'"%b",' % (b"x" * 40_000) * 380 + b'""}',
    "not UTF-8": lambda: b'{"runs":["' + b"\xff" * 15_000_000 + b'"]}',
}


@pytest.fixture
async def server(standin) -> AsyncIterator[Server]:
    async def authenticate(_: bytes) -> str | None:
        return "main"

    server = Server(standin, authenticate, parameters_bytes=5 << 20)
    server.url = await server.start("127.0.0.1", 0)
    yield server
    await server.stop()


def post(server: Server, path: str, body: bytes) -> bytes:
    """The answer to a body, sent from another thread: the loop has nothing to do with it."""
    with socket.create_connection(("127.0.0.1", URL(server.url).port), timeout=60) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{AS_MAIN}".encode())
        try:
            client.sendall(b"Content-Length: %d\r\n\r\n" % len(body))
            client.sendall(body)
        except ConnectionError:
            pass
        answer = b""
        while part := client.recv(1 << 20):
            answer += part
        return answer


@pytest.mark.parametrize("path", ["/api/v1/runs", "/api/v1/runs/batch"])
@pytest.mark.parametrize("name", BODIES)
async def test_no_body_holds_the_loop(server, name, path):
    body = BODIES[name]()
    async with watched_loop() as pauses:
        answer = await asyncio.to_thread(post, server, path, body)

    assert status(answer) in (413, 422)
    assert pauses.longest_s < MOST_S


async def test_a_batch_of_ten_thousand_is_taken_and_one_more_is_not(server, standin):
    runs = [{"task": "t", "id": "019aa3d4-0000-7000-8000-000000000000", "tags": ["a"]}] * 10_000
    async with watched_loop() as pauses:
        taken = await asyncio.to_thread(post, server, "/api/v1/runs/batch", json.dumps({"runs": runs}).encode())
        refused = await asyncio.to_thread(
            post, server, "/api/v1/runs/batch", json.dumps({"runs": [*runs, {}]}).encode()
        )

    assert status(taken) == 201
    assert status(refused) == 422
    assert "a batch may hold 10000 runs: got 10001" in problem(refused)["detail"]
    assert pauses.longest_s < MOST_S


async def test_a_page_of_long_results_is_written_as_it_was_stored(server, standin, monkeypatch):
    text = '{"a":[' + "1," * 500_000 + "12345678901234567890123]}"

    async def list_runs(wanted, *, value):
        return {
            "items": [{"result": value(text), "why": "\ud800" if number == 7 else "so"} for number in range(8)],
            "next_cursor": None,
        }

    monkeypatch.setattr(standin, "list_runs", list_runs)
    request = f"GET /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n{AS_MAIN}\r\n"
    async with watched_loop() as pauses:
        answer = await raw(server.url, request)

    assert answer.count(text.encode()) == 8
    assert answer.endswith(b'"why":"?"}],"next_cursor":null}')
    assert pauses.longest_s < MOST_S


async def test_short_bodies_do_not_wait_for_long_ones_that_do_not_come(server):
    stalled = f"POST /api/v1/runs/batch HTTP/1.1\r\nHost: localhost\r\n{AS_MAIN}Content-Length: {15 << 20}\r\n\r\n"
    opened = [await asyncio.open_connection("127.0.0.1", URL(server.url).port) for _ in range(20)]
    for _, writer in opened:
        writer.write(stalled.encode())

    answer = await asyncio.to_thread(post, server, "/api/v1/runs", b'{"task":"t"}')

    for _, writer in opened:
        writer.transport.abort()
    assert status(answer) == 201


@pytest.mark.parametrize("length", ["Content-Length: 5000000", "Transfer-Encoding: chunked"])
async def test_long_bodies_that_stop_coming_take_only_what_has_come(server, length):
    head = f"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n{AS_MAIN}{length}\r\n\r\n".encode()
    opened = [await asyncio.open_connection("127.0.0.1", URL(server.url).port) for _ in range(60)]
    for _, writer in opened:
        writer.write(head + b"186A0\r\n" + b" " * 100_000)

    honest = b'{"task":"t","parameters":{"text":"%b"}}' % (b"x" * 100_000)
    async with asyncio.timeout(20):
        answer = await asyncio.to_thread(post, server, "/api/v1/runs", honest)

    for _, writer in opened:
        writer.transport.abort()
    assert status(answer) == 201


async def test_a_body_has_a_time(server, monkeypatch):
    monkeypatch.setattr("runner.web.exchange._BODY_S", 0.2)

    answer = await raw(
        server.url, f"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n{AS_MAIN}Content-Length: 100\r\n\r\n{{"
    )

    assert status(answer) == 408


async def test_a_body_in_broken_chunks_is_refused(server):
    head = f"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n{AS_MAIN}Transfer-Encoding: chunked\r\n\r\n"

    assert status(await raw(server.url, f"{head}zz\r\n")) == 400
