"""A server that keeps what it was sent, and answers what the test says."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web

PROBLEM = "application/problem+json"

Answer = Callable[[web.Request], web.StreamResponse]


class Server:
    """An HTTP server in a thread of its own, on a free port or a port that is told."""

    def __init__(self, port: int = 0, *, after_s: float = 0) -> None:
        """It comes up `after_s` seconds after it is started, and nobody waits for it then."""
        self._port, self._after_s = port, after_s
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
        if not self._after_s:
            self._loop.run_until_complete(self._start())
        self._ready.set()
        if self._after_s:
            self._loop.run_until_complete(asyncio.sleep(self._after_s))
            self._loop.run_until_complete(self._start())
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
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
