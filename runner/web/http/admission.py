"""Who may come in: decided by a request's head alone, before a route is looked for and before its body is read.

Whatever is not open needs a token, whether there is something at its path or not, and however the path is written: what
is open is a list of paths, each written in one way. So no path can be one thing here and another to the router.
"""

from __future__ import annotations

from typing import Final

from aiohttp import HttpVersion11, hdrs, web

from runner.web.auth import CALLER, Tokens
from runner.web.http.hosts import Hosts
from runner.web.http.paths import is_canonical

#: All that is answered without a token, to those who only look.
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
_LOOKING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
#: The kinds of body with which something may be changed, with a body and without one. A form of a web page, or a call
#: that any page may have a browser make, names another kind, also where it has no body.
_BODIES: tuple[list[str], ...] = (["application/json"],)
_NO_BODIES: tuple[list[str], ...] = (*_BODIES, [], ["application/octet-stream"])


class Admission:
    """Lets in what may come in, and tells handlers the app that calls in `CALLER`."""

    def __init__(self, hosts: Hosts, tokens: Tokens) -> None:
        self._hosts, self._tokens = hosts, tokens

    async def admit(self, request: web.BaseRequest) -> bool:
        """Whether the caller is known: `False` for one that calls what is open to all.

        Raises:
            HTTPBadRequest, HTTPMisdirectedRequest, HTTPForbidden: it is called under another name or from another page.
            HTTPBadRequest: it says in HTTP/1.0 that its body comes in chunks.
            UnauthorizedError: it has no token that is known.
            HTTPNotFound: its path is not written in the one way that counts.
            HTTPUnsupportedMediaType: its body is not plain JSON, or it changes something as a form of a web page could.
            HTTPExpectationFailed: it expects what this server does not do.
        """
        if request.version < HttpVersion11 and hdrs.TRANSFER_ENCODING in request.headers:
            # A proxy that knows no chunks in HTTP/1.0 sees the body end elsewhere, and another request behind it.
            raise web.HTTPBadRequest(text="send a body in chunks with HTTP/1.1, or with `Content-Length`")
        self._hosts.check(request)
        path = request.raw_path.partition("?")[0]
        if path in OPEN_PATHS and request.method in _LOOKING:
            return False
        request[CALLER] = await self._tokens.app_of(request)
        if not is_canonical(path):
            raise web.HTTPNotFound
        _check_body(request)
        return True


def _check_body(request: web.BaseRequest) -> None:
    if request.headers.getall(hdrs.CONTENT_ENCODING, ["identity"]) != ["identity"]:
        raise web.HTTPUnsupportedMediaType(text="send the body as it is, without the header `Content-Encoding`")
    if request.method not in _LOOKING:
        kinds = request.headers.getall(hdrs.CONTENT_TYPE, ())
        allowed = _BODIES if request.body_exists else _NO_BODIES
        if [kind.partition(";")[0].strip().lower() for kind in kinds] not in allowed:
            raise web.HTTPUnsupportedMediaType(text="send the header `Content-Type: application/json`")
    expectations = request.headers.getall(hdrs.EXPECT, ())
    if any(expectation.lower() != "100-continue" for expectation in expectations):
        raise web.HTTPExpectationFailed(text="send no header `Expect`, or `Expect: 100-continue`")
