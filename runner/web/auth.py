"""Who calls: each call carries a token, which acts for exactly one app.

Only the SHA-256 digest of a token is ever looked up or kept. What was found is remembered for a few seconds, so that a
busy client does not ask the store at each request and a revoked token still stops working soon.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from runner.errors import UnauthorizedError

#: From a token's SHA-256 digest to the app it acts for, `None` for one that is not known.
Authenticate = Callable[[bytes], Awaitable[str | None]]

CALLER = web.RequestKey("caller", str)
_REMEMBERED_S = 5.0
_REMEMBERED_TOKENS = 1024


class Tokens:
    """Tells the app that a request's token acts for."""

    def __init__(self, authenticate: Authenticate) -> None:
        self._authenticate = authenticate
        self._known: dict[bytes, tuple[str, float]] = {}  # digest to app, and until when that counts

    async def app_of(self, request: web.BaseRequest) -> str:
        """The app that the request's token acts for.

        Raises:
            UnauthorizedError: there is no token, or one that is not known.
        """
        digest = _digest(request)
        app, until = self._known.get(digest, ("", 0.0))
        now = time.monotonic()
        if now < until:
            return app
        found = await self._authenticate(digest)
        if found is None:
            self._known.pop(digest, None)
            raise UnauthorizedError("this token is not known here; `isolane serve` keeps one in .isolane/")
        if len(self._known) >= _REMEMBERED_TOKENS:
            self._known.clear()
        self._known[digest] = found, now + _REMEMBERED_S
        return found


def _digest(request: web.BaseRequest) -> bytes:
    headers = request.headers.getall(hdrs.AUTHORIZATION, ())
    scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise UnauthorizedError(
            "this call needs a token: set ISOLANE_TOKEN, or send the header `Authorization: Bearer TOKEN`"
        )
    return hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
