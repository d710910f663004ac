"""`/api/v1/nodes`: the runners that share the store, and how to empty one."""

from __future__ import annotations

from aiohttp import web

from runner.web.exchange import Query, answer, operations


def routes() -> list[web.RouteDef]:
    """The routes."""
    return [
        web.get("/api/v1/nodes", _list),
        web.post("/api/v1/nodes/{name:[^/]+}/drain", _drain),
        web.post("/api/v1/nodes/{name:[^/]+}/undrain", _undrain),
    ]


async def _list(request: web.Request) -> web.Response:
    Query(request)
    return answer(await operations(request).list_nodes())


async def _drain(request: web.Request) -> web.Response:
    Query(request)
    return answer(await operations(request).drain_node(request.match_info["name"]))


async def _undrain(request: web.Request) -> web.Response:
    Query(request)
    return answer(await operations(request).drain_node(request.match_info["name"], draining=False))
