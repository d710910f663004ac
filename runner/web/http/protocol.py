"""aiohttp's protocol; what is no HTTP is answered as a problem document, as all else that is wrong."""

from __future__ import annotations

import asyncio
import os

from aiohttp import web

from runner.web.http.connection import HEAD_BYTES
from runner.web.http.problems import problem


class Protocol(web.RequestHandler):
    """Reads the requests of one connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be read, and close."""
        super().handle_error(request, status, exc, message)  # it knows what to log, and whether anything can be said
        if status >= 500:
            answer = problem(request, "error", status, "the server failed to answer; its log says why")
        else:
            _throw_away(request.transport)
            told = (message or "it makes no sense").strip().split("\n")[0].rstrip(":")
            answer = problem(request, "bad-request", status, f"this is no request of HTTP/1.1: {told:.200}")
        answer.force_close()
        return answer


def _throw_away(transport: asyncio.Transport | None) -> None:
    """Take the rest of a head that has come: if it were left when it is closed, the kernel would drop the answer."""
    client = None if transport is None else transport.get_extra_info("socket")
    try:
        left = 4 * HEAD_BYTES
        while client is not None and left > 0 and (data := os.read(client.fileno(), left)):
            left -= len(data)
    except OSError:  # nothing more is there, or the client is gone
        return
