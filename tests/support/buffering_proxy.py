"""A reverse proxy as many set one up: it gathers what a server says before it passes it on, unless it is asked not to.

It ends a response that brings nothing for a while, as a proxy's read timeout does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

_BUFFER_BYTES = 64 << 10
_DROPPED = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@contextlib.asynccontextmanager
async def buffering_proxy(upstream: str, *, read_timeout_s: float = 60.0) -> AsyncIterator[str]:
    """The URL of one before the server at `upstream`."""
    async with aiohttp.ClientSession(upstream) as session:

        async def pass_on(request: web.Request) -> web.StreamResponse:
            headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
            async with session.request(request.method, request.raw_path, headers=headers) as answer:
                said = {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED}
                is_buffered = said.pop("X-Accel-Buffering", "yes") != "no"
                response = web.StreamResponse(status=answer.status, headers=said)
                gathered = b""
                if not is_buffered:
                    await response.prepare(request)
                while part := await asyncio.wait_for(answer.content.readany(), read_timeout_s):
                    gathered += part
                    if not is_buffered or len(gathered) >= _BUFFER_BYTES:
                        await response.prepare(request)
                        await response.write(gathered)
                        gathered = b""
                await response.prepare(request)
                await response.write(gathered)
                return response

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", pass_on)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()
