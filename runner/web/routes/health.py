"""`/healthz` and `/readyz`: whether the process lives, and whether it can work. For load balancers; no token needed."""

from __future__ import annotations

from aiohttp import web

from runner.web.exchange import answer, operations
from runner.web.http.problems import problem


def routes() -> list[web.RouteDef]:
    """The routes."""
    return [web.get("/healthz", _healthz), web.get("/readyz", _readyz)]


async def _healthz(_: web.Request) -> web.Response:
    return answer({"status": "ok"})


async def _readyz(request: web.Request) -> web.Response:
    is_ready, why = await operations(request).ready()
    if is_ready:
        return answer({"status": "ready"})
    return problem(request, "not-ready", 503, why)
