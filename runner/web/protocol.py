"""aiohttp's protocol; what is no HTTP is answered as a problem document, as all else that is wrong."""

from __future__ import annotations

from aiohttp import web

from runner.web.problems import problem


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
            told = (message or "it makes no sense").strip().split("\n")[0].rstrip(":")
            answer = problem(request, "bad-request", status, f"this is no request of HTTP/1.1: {told:.200}")
        answer.force_close()
        return answer
