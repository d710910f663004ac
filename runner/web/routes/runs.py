"""`/api/v1/runs`: schedule runs, look at them, wait for them, end them."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from runner.domain.options.run_filter import FILTERS, RunFilter, read_filters
from runner.errors import InvalidValueError
from runner.units import seconds
from runner.web.exchange import STOPPING, Query, answer, answer_page, caller, json_body, operations
from sandbox import JsonText

_BATCH_BYTES = 16 << 20
_BATCH_RUNS = 10_000
#: How many values a body may hold: those of one run are looked at in one step, those of a batch run by run.
_MOST_VALUES, _MOST_BATCH_VALUES = 125_000, 250_000
#: The longest that one request waits for a run; a patient client asks again.
_LONGEST_WAIT_S = 60.0
_PER_PAGE, _MOST_PER_PAGE = 50, 1000


def routes(parameters_bytes: int) -> list[web.RouteDef]:
    """The routes; `parameters_bytes` is how much one run's parameters may take as JSON."""
    # Escaped to ASCII, as many clients write it, text takes up to three times its UTF-8.
    body_bytes = 3 * parameters_bytes + (64 << 10)
    return [
        web.post("/api/v1/runs", _schedule(body_bytes, parameters_bytes)),
        web.post("/api/v1/runs/batch", _schedule_batch(max(body_bytes, _BATCH_BYTES), parameters_bytes)),
        web.get("/api/v1/runs", _list),
        web.get("/api/v1/runs/count", _count),
        web.get("/api/v1/runs/{id}", _show),
        web.delete("/api/v1/runs/{id}", _delete),
        web.post("/api/v1/runs/{id}/cancel", _cancel),
        web.post("/api/v1/runs/{id}/retry", _retry),
    ]


def _schedule(body_bytes: int, parameters_bytes: int) -> Handler:
    async def schedule(request: web.Request) -> web.Response:
        Query(request)
        async with json_body(request, body_bytes, parameters_bytes, _MOST_VALUES) as wanted:
            [run] = await operations(request).schedule(caller(request), [wanted], value=JsonText)
        return answer(run, 201)

    return schedule


def _schedule_batch(body_bytes: int, parameters_bytes: int) -> Handler:
    async def schedule_batch(request: web.Request) -> web.Response:
        Query(request)
        async with json_body(request, body_bytes, parameters_bytes, _MOST_BATCH_VALUES) as body:
            if not isinstance(body, dict) or set(body) != {"runs"} or not isinstance(body["runs"], list):
                raise InvalidValueError('the request\'s body must be {"runs": [...]}, a list of schedule requests')
            count = len(body["runs"])
            if count > _BATCH_RUNS:
                raise InvalidValueError(f"a batch may hold {_BATCH_RUNS} runs: got {count}; send several batches")
            runs = await operations(request).schedule(caller(request), body["runs"], value=JsonText)
        return await answer_page({"items": runs}, 201)

    return schedule_batch


async def _list(request: web.Request) -> web.Response:
    repeatable = tuple(name for name, each in FILTERS.items() if each.choices)
    query = Query(request, *FILTERS, "cursor", "limit", repeatable=repeatable)
    wanted = RunFilter(
        app=caller(request),
        cursor=query.text("cursor"),
        limit=query.whole("limit", low=1, high=_MOST_PER_PAGE) or _PER_PAGE,
        **read_filters(query.texts),
    )
    return await answer_page(await operations(request).list_runs(wanted, value=JsonText))


async def _count(request: web.Request) -> web.Response:
    Query(request)
    return answer(await operations(request).count_runs(caller(request)))


async def _show(request: web.Request) -> web.Response:
    app, run, wait = caller(request), request.match_info["id"], Query(request, "wait").text("wait")
    if wait is None:
        return answer(await operations(request).show(app, run, value=JsonText))
    timeout_s = min(seconds(wait, "wait"), _LONGEST_WAIT_S)
    return answer(await _wait(request, app, run, timeout_s))


async def _wait(request: web.Request, app: str, run: str, timeout_s: float) -> dict[str, Any]:
    """The run when it is final, the time is over or the server stops, whichever is first."""
    waiting = asyncio.ensure_future(operations(request).wait(app, run, timeout_s, value=JsonText))
    stopping = asyncio.ensure_future(request.app[STOPPING].wait())
    try:
        await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
        return await (waiting if waiting.done() else operations(request).show(app, run, value=JsonText))
    finally:
        waiting.cancel()
        stopping.cancel()


async def _cancel(request: web.Request) -> web.Response:
    Query(request)
    return answer(await operations(request).cancel(caller(request), request.match_info["id"], value=JsonText))


async def _retry(request: web.Request) -> web.Response:
    force = Query(request, "force").flag("force")
    run = request.match_info["id"]
    return answer(await operations(request).retry(caller(request), run, force=force, value=JsonText), 201)


async def _delete(request: web.Request) -> web.Response:
    Query(request)
    await operations(request).delete(caller(request), request.match_info["id"])
    return web.Response(status=204)
