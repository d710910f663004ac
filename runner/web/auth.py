"""Who calls: each request under `/api/` carries a token, which acts for exactly one app.

Only the SHA-256 digest of a token is ever looked up or kept. What was found is remembered for a few seconds, so that a
busy client does not ask the store at each request and a revoked token still stops working soon.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from runner.errors import UnauthorizedError

#: From a token's SHA-256 digest to the app it acts for, `None` for one that is not known.
Authenticate = Callable[[bytes], Awaitable[str | None]]

CALLER = web.RequestKey("caller", str)
_REMEMBERED_S = 5.0
_REMEMBERED_TOKENS = 1024


def require_token(authenticate: Authenticate) -> Middleware:
    """A middleware that lets only calls with a known token reach `/api/`, and tells handlers the app in `CALLER`."""
    known: dict[bytes, tuple[str, float]] = {}

    @web.middleware
    async def check_token(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.rel_url.raw_path.startswith("/api/"):
            request[CALLER] = await app_of(_digest(request))
        return await handler(request)

    async def app_of(digest: bytes) -> str:
        app, until = known.get(digest, ("", 0.0))
        now = time.monotonic()
        if now < until:
            return app
        found = await authenticate(digest)
        if found is None:
            known.pop(digest, None)
            raise UnauthorizedError("this token is not known here; `isolane serve` keeps one in .isolane/")
        if len(known) >= _REMEMBERED_TOKENS:
            known.clear()
        known[digest] = found, now + _REMEMBERED_S
        return found

    return check_token


def _digest(request: web.Request) -> bytes:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthorizedError("this call needs a token: send the header `Authorization: Bearer TOKEN`")
    return hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
