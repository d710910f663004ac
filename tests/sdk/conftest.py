"""A server that keeps what it was sent, and answers what the test says."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
from aiohttp import web

Answer = Callable[[web.Request], web.StreamResponse]


class Server:
    """An HTTP server in a thread of its own."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.headers: list[Any] = []
        self.answers: list[Any] = []  # one for each request, the last one for all that follow
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.raw_path, json.loads(body) if body else None))
        self.headers.append(request.headers)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "hang up":
            request.transport.abort()
            return web.Response()
        if answer in ("cut a log", "cut a log after a line"):
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b'{"number": 1}\n' if "line" in answer else b'{"number": 1}\n{"num')
            request.transport.close()
            return response
        if isinstance(answer, tuple):
            status, text, *kind = answer
            return web.Response(status=status, text=text, content_type=kind[0] if kind else "text/plain")
        return web.json_response(answer)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def run_document(status: str = "queued", **rest: Any) -> dict[str, Any]:
    return {"id": "r1", "task": "greet", "status": status, "result": None, "reason": None, "why": None} | rest


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as serving:
        serving.answers = [run_document()]
        yield serving


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISOLANE_URL", raising=False)
    monkeypatch.delenv("ISOLANE_TOKEN", raising=False)
