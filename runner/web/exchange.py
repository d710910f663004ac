"""What every handler needs: the parts behind the API, a request's body and query read strictly, an answer as JSON.

JSON is read by `runner.jsonvalue`, which keeps whole numbers of any size exact where orjson makes floats of them. It is
written by orjson, and by the standard library where orjson refuses to (whole numbers of more than 64 bits).
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from runner import jsonvalue
from runner.engine.operations import Operations
from runner.errors import InvalidOptionError
from runner.web.auth import CALLER

OPERATIONS = web.AppKey("operations", Operations)
#: Set when the server is stopping: what waits for long gives up.
STOPPING = web.AppKey("stopping", asyncio.Event)

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_FLAGS = {"1": True, "true": True, "0": False, "false": False}


def operations(request: web.Request) -> Operations:
    """What the handlers call."""
    return request.app[OPERATIONS]


def caller(request: web.Request) -> str:
    """The app that the request's token acts for."""
    return request[CALLER]


def answer(document: Mapping[str, Any], status: int = 200) -> web.Response:
    """`document` as the response."""
    return web.Response(body=encode(document), status=status, content_type="application/json")


def encode(document: Mapping[str, Any]) -> bytes:
    """`document` as compact JSON."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        # Half a character in a stored text must not make a whole page unreadable.
        return _encode(document).encode(errors="replace")


async def read_json(request: web.Request, limit_bytes: int) -> Any:
    """The body, parsed strictly.

    Raises:
        HTTPRequestEntityTooLarge: it has more than `limit_bytes`; no more than that was read.
        InvalidValueError: it is not JSON.
    """
    if (request.content_length or 0) > limit_bytes:
        raise _too_large(limit_bytes)
    body = bytearray()
    while not request.content.at_eof():
        body += await request.content.readany()
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
    return jsonvalue.loads(bytes(body), "the request's body")


def _too_large(limit_bytes: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(limit_bytes, text=f"the request's body may have {limit_bytes} bytes at most")


class Query:
    """A request's query parameters; each name must be one of `names`, and only those in `repeatable` may repeat.

    Raises:
        InvalidOptionError: another name, a repetition, or (from the methods) a value of the wrong kind.
    """

    def __init__(self, request: web.Request, *names: str, repeatable: tuple[str, ...] = ()) -> None:
        self._values = request.query
        allowed = (*names, *repeatable)
        for name in self._values:
            if name not in allowed:
                near = difflib.get_close_matches(name, allowed, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(allowed) or 'none'}"
                raise InvalidOptionError(f"the query parameter {name!r} is not known here; {hint}")
            if name not in repeatable and len(self._values.getall(name)) > 1:
                raise InvalidOptionError(f"the query parameter {name!r} may stand only once")

    def text(self, name: str) -> str | None:
        """The value as it stands, `None` where there is none."""
        return self._values.get(name)

    def texts(self, name: str) -> list[str]:
        """All values of a repeatable name."""
        return self._values.getall(name, [])

    def whole(self, name: str, *, low: int, high: int) -> int | None:
        """A whole number within bounds, `None` where there is none."""
        text = self._values.get(name)
        if text is None:
            return None
        # The text is looked at first: int() takes underscores, and refuses many digits with an error of its own.
        if not (text.isascii() and text.isdecimal() and len(text) <= 19 and low <= int(text) <= high):
            raise InvalidOptionError(
                f"the query parameter {name!r} must be a whole number from {low} to {high}: got {text!r}"
            )
        return int(text)

    def flag(self, name: str) -> bool:
        """Whether it is set to 1 or true."""
        text = self._values.get(name, "0")
        if text not in _FLAGS:
            raise InvalidOptionError(f"the query parameter {name!r} must be 1 or 0: got {text!r}")
        return _FLAGS[text]
