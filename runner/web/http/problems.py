"""Every error leaves as a problem document (RFC 9457), whoever raised it.

`answer_problems` is the outermost layer: behind it stand the admission, the router's own 404 and 405, and the handlers.
An exception that nobody planned is logged with its traceback and answered without a word about its inside.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import hdrs, web

from runner.errors import InvariantError, RunnerError, StoppingError, UnauthorizedError

PROBLEM_TYPE = "application/problem+json"
#: Codes of the errors that the HTTP layer itself raises; those of the runner bring their own.
_HTTP_CODES = {
    400: "bad-request",
    403: "foreign-origin",
    404: "not-found",
    405: "method-not-allowed",
    408: "too-slow",
    413: "too-large",
    415: "unsupported-media-type",
    417: "expectation-failed",
    421: "misdirected",
    503: "too-many-connections",
}

#: What some errors bring besides.
_HEADERS: dict[type[RunnerError], dict[str, str]] = {
    UnauthorizedError: {hdrs.WWW_AUTHENTICATE: "Bearer"},
    StoppingError: {hdrs.RETRY_AFTER: "1"},
}

log = logging.getLogger(__name__)


async def answer_problems(
    request: web.BaseRequest, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer what `handler` raises as a problem document."""
    try:
        return await handler(request)
    except RunnerError as error:
        if isinstance(error, InvariantError):
            log.exception("%s %s", request.method, request.rel_url.raw_path)
        headers = next((headers for kind, headers in _HEADERS.items() if isinstance(error, kind)), None)
        return problem(request, error.code, error.http_status, str(error), headers)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        detail = f"{request.method} is not possible here: use {allowed}"
        return problem(request, _HTTP_CODES[error.status], error.status, detail, {hdrs.ALLOW: allowed})
    except web.HTTPNotFound as error:
        return problem(request, _HTTP_CODES[error.status], error.status, f"nothing is at {request.rel_url.raw_path}")
    except web.HTTPException as error:
        return problem(request, _HTTP_CODES.get(error.status, "http"), error.status, error.text or error.reason)
    except Exception:
        log.exception("%s %s", request.method, request.rel_url.raw_path)
        return problem(request, "error", 500, "the server failed to answer; its log says why")


def problem(
    request: web.BaseRequest, code: str, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """One problem document; clients rebuild the error from `type` and `detail`."""
    body = document(code, status, detail, request.rel_url.raw_path)
    return web.Response(body=body, status=status, content_type=PROBLEM_TYPE, headers=headers)


def document(code: str, status: int, detail: str, path: str) -> bytes:
    """The problem document itself."""
    members = {
        "type": f"urn:isolane:{code}",
        "title": code.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": path,
    }
    # Escaped to ASCII: a message may quote what the caller sent, lone surrogates included.
    return json.dumps(members).encode("ascii")
