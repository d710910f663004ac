"""`/api/v1/queues`: look at queues, pause, resume, purge and release them.

A name stands percent-encoded in the path, so that it may hold slashes and anything else that prints.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from runner.engine.api.operations import Operations
from runner.web.exchange import Query, answer, caller, operations

# aiohttp's own pattern for a path's part leaves out braces.
_QUEUE = "/api/v1/queues/{name:[^/]+}"
_PER_PAGE, _MOST_PER_PAGE = 100, 1000


def routes() -> list[web.RouteDef]:
    """The routes."""
    return [
        web.get("/api/v1/queues", _list),
        web.get(_QUEUE, _by_name(lambda operations: operations.show_queue)),
        web.post(f"{_QUEUE}/pause", _by_name(lambda operations: operations.pause_queue)),
        web.post(f"{_QUEUE}/resume", _by_name(lambda operations: operations.resume_queue)),
        web.post(f"{_QUEUE}/purge", _by_name(lambda operations: operations.purge_queue)),
        web.post(f"{_QUEUE}/release", _by_name(lambda operations: operations.release_queue)),
    ]


async def _list(request: web.Request) -> web.Response:
    query = Query(request, "cursor", "limit")
    limit = query.whole("limit", low=1, high=_MOST_PER_PAGE) or _PER_PAGE
    return answer(await operations(request).list_queues(caller(request), query.text("cursor"), limit))


def _by_name(operation: Callable[[Operations], Callable[[str, str], Awaitable[dict[str, Any]]]]) -> Handler:
    """A handler that calls an operation with the queue's name and answers its document."""

    async def handle(request: web.Request) -> web.Response:
        Query(request)
        return answer(await operation(operations(request))(caller(request), request.match_info["name"]))

    return handle
