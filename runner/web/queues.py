"""`/api/v1/queues`: look at queues, pause, resume, purge and release them.

A name stands percent-encoded in the path, so that it may hold slashes and anything else that prints.
"""

from __future__ import annotations

from aiohttp import web

from runner.web.exchange import Query, answer, caller, operations

# aiohttp's own pattern for a path's part leaves out braces.
_QUEUE = "/api/v1/queues/{name:[^/]+}"
_MOST_PER_PAGE = 1000


def routes() -> list[web.RouteDef]:
    """The routes."""
    return [
        web.get("/api/v1/queues", _list),
        web.get(_QUEUE, _show),
        web.post(f"{_QUEUE}/pause", _pause),
        web.post(f"{_QUEUE}/resume", _resume),
        web.post(f"{_QUEUE}/purge", _purge),
        web.post(f"{_QUEUE}/release", _release),
    ]


async def _list(request: web.Request) -> web.Response:
    query = Query(request, "cursor", "limit")
    limit = query.whole("limit", low=1, high=_MOST_PER_PAGE) or 100
    return answer(await operations(request).list_queues(caller(request), query.text("cursor"), limit))


async def _show(request: web.Request) -> web.Response:
    return answer(await operations(request).show_queue(caller(request), request.match_info["name"]))


async def _pause(request: web.Request) -> web.Response:
    return answer(await operations(request).pause_queue(caller(request), request.match_info["name"]))


async def _resume(request: web.Request) -> web.Response:
    return answer(await operations(request).resume_queue(caller(request), request.match_info["name"]))


async def _purge(request: web.Request) -> web.Response:
    return answer(await operations(request).purge_queue(caller(request), request.match_info["name"]))


async def _release(request: web.Request) -> web.Response:
    return answer(await operations(request).release_queue(caller(request), request.match_info["name"]))
