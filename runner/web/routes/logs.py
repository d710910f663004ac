"""`/api/v1/runs/{id}/logs`: a run's log as lines of JSON (NDJSON), up to now or for as long as the run goes on.

Nothing is held back on the way, where the way can be asked: proxies are told not to buffer or change the response, and
a follower of a silent run is sent an empty line now and then, so that nobody takes the connection for a dead one. Empty
lines are no documents; a client passes over them.

Lines are taken from the store only as fast as the client reads them: one that stops reading holds nothing but its own
connection, and after a while loses it. The response ends cleanly only when everything asked for was given. One that had
to be cut (the server stops, the store fails, the client does not read) ends without its last chunk: a client can tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from aiohttp import web

from runner.domain.documents import log_document
from runner.domain.run import LogLine
from runner.web.exchange import STOPPING, Query, caller, encode, operations

#: A line has 16 KB at most.
_PAGE_LINES = 200
_PART_BYTES = 64 << 10
_BIGGEST = 2**63 - 1
#: A client that takes nothing for so long is cut off.
_STALLED_S = 60.0
#: How often a follower of a silent run is looked at: is it still there?
_LOOK_S = 5.0
#: How long a follower of a silent run is sent nothing. Proxies mostly give up after a minute, some after half of one.
_SILENT_S = 15.0
_HEADERS = {
    "Content-Type": "application/x-ndjson",
    "X-Accel-Buffering": "no",  # to nginx and those that follow it: pass on each part as it comes
    "Cache-Control": "no-store, no-transform",  # what compresses a response gathers it first
}

log = logging.getLogger(__name__)

Batches = AsyncGenerator[Sequence[LogLine], None]


def routes() -> list[web.RouteDef]:
    """The routes."""
    return [web.get("/api/v1/runs/{id}/logs", _logs)]


async def _logs(request: web.Request) -> web.StreamResponse:
    query = Query(request, "after", "limit", "follow")
    after = query.whole("after", low=0, high=_BIGGEST) or 0
    limit = query.whole("limit", low=1, high=_BIGGEST) or _BIGGEST
    async with aclosing(_batches(request, after, limit, follow=query.flag("follow"))) as batches:
        # The first lines are fetched before the response begins: an unknown run must still become a 404.
        first = await anext(batches)
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        body = _Body(response)
        giving = asyncio.create_task(_give(body, first, batches))
        try:
            await _until_done(request, body, giving)
        finally:
            giving.cancel()
            [failure] = await asyncio.gather(giving, return_exceptions=True)
    if failure is not None:
        if not isinstance(failure, ConnectionError | TimeoutError | asyncio.CancelledError):
            log.error("the log of run %s was cut", request.match_info["id"], exc_info=failure)
        if request.transport is not None:
            request.transport.close()
    return response


async def _batches(request: web.Request, after: int, limit: int, *, follow: bool) -> Batches:
    """What is stored, a page at a time, then what comes, a line at a time. The first batch may be empty."""
    app, run = caller(request), request.match_info["id"]
    while True:
        page = await operations(request).logs(app, run, after, min(limit, _PAGE_LINES))
        yield page.lines
        after, limit = page.cursor, limit - len(page.lines)
        if not page.lines or not limit:
            break
    if follow and limit:
        async with aclosing(operations(request).follow(app, run, after)) as lines:
            async for line in lines:
                yield (line,)
                limit -= 1
                if not limit:
                    break


class _Body:
    """The body of a response, written by one and kept alive by another."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response
        self._loop = asyncio.get_running_loop()
        self._written_at = self._loop.time()
        self._is_writing = False

    async def write(self, part: bytes) -> None:
        """Write whole lines, as fast as they are read.

        Raises:
            TimeoutError: nobody reads them.
        """
        self._is_writing = True
        try:
            async with asyncio.timeout(_STALLED_S):
                await self._response.write(part)
        finally:
            self._is_writing = False
            self._written_at = self._loop.time()

    async def keep_alive(self) -> None:
        """Write an empty line where nothing was written for long. A follower that does not read is left alone."""
        if not self._is_writing and self._loop.time() - self._written_at >= _SILENT_S:
            await self.write(b"\n")


async def _give(body: _Body, first: Sequence[LogLine], batches: Batches) -> None:
    await _write(body, first)
    async for batch in batches:
        await _write(body, batch)


async def _write(body: _Body, lines: Sequence[LogLine]) -> None:
    part = bytearray()
    for number, line in enumerate(lines, 1):
        part += encode(log_document(line)) + b"\n"
        if len(part) >= _PART_BYTES or number == len(lines):
            await body.write(bytes(part))
            part.clear()
            await asyncio.sleep(0)  # a client that reads fast keeps nobody else waiting


async def _until_done(request: web.Request, body: _Body, giving: asyncio.Task[None]) -> None:
    """Until everything was given, the server stops or the client is gone."""
    stopping = asyncio.create_task(request.app[STOPPING].wait())
    try:
        while not giving.done() and not stopping.done() and request.transport is not None:
            await asyncio.wait((giving, stopping), timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            if not giving.done():
                with contextlib.suppress(ConnectionError, TimeoutError):  # the giver finds that out, too
                    await body.keep_alive()
    finally:
        stopping.cancel()
