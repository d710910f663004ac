"""A server on a free port over a small stand-in for the operations: what is tested here is the HTTP side alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest

from runner.domain.run import LogLine
from runner.engine.api.operations import Operations
from runner.errors import NotFoundError
from runner.store.records import LogPage
from runner.web.server import Server

TOKENS = {"s3cret": "main", "other": "another"}
RUN = "019aa3d4-0000-7000-8000-000000000000"


class Standin(Operations):
    """Remembers what it was called with, and has one run with a log that the test writes."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.lines: list[LogLine] = []
        self.is_final = False
        self.changed = asyncio.Event()
        self.waited_for = asyncio.Event()
        self.left = asyncio.Event()  # a follower was given up
        self.is_ready = True

    async def ready(self):
        return self.is_ready, "the store is closed"

    async def schedule(self, app, requests, *, parent=None, value=None):
        self.calls.append(("schedule", app, *requests))
        return [{"app": app, **request} for request in requests]

    async def show(self, app, run, *, value=None):
        if app != "main" or run != RUN:
            raise NotFoundError(f"no run {run}")
        return {"id": run, "status": "succeeded" if self.is_final else "running"}

    async def wait(self, app, run, timeout_s, *, value=None):
        self.calls.append(("wait", app, run, timeout_s))
        self.waited_for.set()
        await asyncio.wait_for(self._until_final(), timeout_s)
        return await self.show(app, run)

    async def list_runs(self, wanted, *, value=None):
        self.calls.append(("list", wanted))
        return {"items": [], "next_cursor": None}

    async def count_runs(self, app):
        raise LookupError("a secret of the inside")

    async def delete(self, app, run):
        await self.show(app, run)

    async def pause_queue(self, app, queue):
        self.calls.append(("pause", app, queue))
        return {"name": queue}

    async def logs(self, app, run, after, limit):
        await self.show(app, run)
        lines = tuple(line for line in self.lines if line.number > after)[:limit]
        return LogPage(lines=lines, cursor=lines[-1].number if lines else after)

    async def follow(self, app, run, after):
        try:
            while True:
                is_final, self.changed = self.is_final, asyncio.Event()
                for line in self.lines[after:]:
                    yield line
                after = max(after, len(self.lines))
                if is_final:
                    return
                await self.changed.wait()
        finally:
            self.left.set()

    def write(self, text: str) -> None:
        number = len(self.lines) + 1
        self.lines.append(LogLine(attempt=1, at=1_763_672_400_123_456, stream="stdout", text=text, number=number))
        self.changed.set()

    def end(self) -> None:
        self.is_final = True
        self.changed.set()

    async def _until_final(self) -> None:
        while not self.is_final:
            await self.changed.wait()


@dataclass
class Api:
    """A running server and a client that holds a token."""

    server: Server
    operations: Standin
    url: str
    http: aiohttp.ClientSession
    asked: list[bytes] = field(default_factory=list)

    async def problem(self, method: str, path: str, **kwargs) -> dict:
        """The problem document that a call is answered with."""
        async with self.http.request(method, path, **kwargs) as response:
            assert response.content_type == "application/problem+json"
            problem = await response.json()
            assert problem["status"] == response.status
            assert set(problem) == {"type", "title", "status", "detail", "instance"}
            return problem


@pytest.fixture
def standin() -> Standin:
    return Standin()


@pytest.fixture
async def api(standin) -> AsyncIterator[Api]:
    asked: list[bytes] = []
    known = {hashlib.sha256(token.encode()).digest(): app for token, app in TOKENS.items()}

    async def authenticate(digest: bytes) -> str | None:
        asked.append(digest)
        return known.get(digest)

    server = Server(standin, authenticate, parameters_bytes=1000)
    url = await server.start("127.0.0.1", 0)
    headers = {"Authorization": "Bearer s3cret", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(url, headers=headers, timeout=aiohttp.ClientTimeout(20)) as http:
        yield Api(server, standin, url, http, asked)
    await server.stop()
