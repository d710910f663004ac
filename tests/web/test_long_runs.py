"""Over a real node: runs as large as they may be are taken and shown, and the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import json
import socket
from urllib.parse import urlsplit

import pytest

from runner.web.server import Server
from support.loop_pauses import watched_loop
from support.nodes import running_node
from support.projects import write_project
from support.raw_http import status

MOST_S = 0.1
ID = "019aa3d4-0000-7000-8000-%012x"
BODIES = {
    "numbers": {"task": "idle", "parameters": {"a": [0.123456] * 120_000}},
    "objects": {"task": "idle", "parameters": {"a": [{"a": 1}] * 40_000}},
    "text": {"task": "idle", "parameters": {"a": "\n\u2603" * 1_000_000}},
    "texts": {"task": "idle", "parameters": {"a": ["x" * 50_000] * 90}},
    "one of a batch": {"runs": [{"task": "idle", "id": ID % 1, "parameters": {"a": [0.123456] * 240_000}}]},
    "objects of a batch": {"runs": [{"task": "idle", "id": ID % 1, "parameters": {"a": [{"a": 1}] * 70_000}}]},
    "batch": {
        "runs": [{"task": "idle", "id": ID % number, "parameters": {"n": [number] * 10}} for number in range(9000)]
    },
}


def call(url: str, method: str, path: str, body: bytes = b"") -> bytes:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as client:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\nConnection: close\r\n"
        client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        parts = []
        while part := client.recv(1 << 20):
            parts.append(part)
        return b"".join(parts)


@pytest.mark.parametrize("name", BODIES)
async def test_what_is_large_is_taken_and_shown(tmp_path, name):
    async def authenticate(_: bytes) -> str | None:
        return "main"

    sent = BODIES[name]
    path = "/api/v1/runs/batch" if "runs" in sent else "/api/v1/runs"
    project = write_project(tmp_path, {"idle.py": "def run(parameters): pass\n"})
    async with running_node(project) as node:
        server = Server(node.operations, authenticate, parameters_bytes=5 << 20)
        url = await server.start("127.0.0.1", 0)
        body = json.dumps(sent).encode()
        async with watched_loop() as taking:
            taken = await asyncio.to_thread(call, url, "POST", path, body)
        async with watched_loop() as showing:
            shown = await asyncio.to_thread(call, url, "GET", "/api/v1/runs?limit=1000")
        await server.stop()

    assert status(taken) == 201
    assert status(shown) == 200
    runs = json.loads(shown.partition(b"\r\n\r\n")[2])["items"]
    wanted = [run["parameters"] for run in sent.get("runs", [sent])]
    assert all(run["parameters"] in wanted for run in runs[:3])
    assert max(taking.longest_s, showing.longest_s) < MOST_S, (taking.longest_s, showing.longest_s)
