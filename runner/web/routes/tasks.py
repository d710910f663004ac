"""`/api/v1/tasks`: what can be run here, and which files of the tasks folder do not work."""

from __future__ import annotations

from aiohttp import web

from runner.web.exchange import Query, answer, caller, operations


def routes() -> list[web.RouteDef]:
    """The routes."""
    return [
        web.get("/api/v1/tasks", _list),
        web.get("/api/v1/tasks/{name:[^/]+}", _show),
    ]


async def _list(request: web.Request) -> web.Response:
    Query(request)
    return answer(await operations(request).list_tasks(caller(request)))


async def _show(request: web.Request) -> web.Response:
    Query(request)
    return answer(await operations(request).show_task(caller(request), request.match_info["name"]))
