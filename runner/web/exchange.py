"""What every handler needs: the parts behind the API, a request's body and query read strictly, an answer as JSON.

JSON is read by `runner.jsonvalue`, which keeps whole numbers of any size exact where orjson makes floats of them. It is
written by orjson; what was stored as JSON (`JsonText`) is written as it was stored.

Whoever sends much waits for itself. A body has a size and a time, all bodies together have a bound on what they take in
memory, and a long one is parsed in steps (`body_reading`), within its share of the event loop.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from runner import jsonvalue
from runner.engine.api.operations import Operations
from runner.errors import InvalidOptionError
from runner.web.auth import CALLER
from runner.web.http import body_reading
from runner.web.http.body_memory import BodyMemory, Place
from sandbox import JsonText, Share
from sandbox.protocol.wire import PIECE_BYTES, text_of

OPERATIONS = web.AppKey("operations", Operations)
#: Set when the server is stopping: what waits for long gives up.
STOPPING = web.AppKey("stopping", asyncio.Event)

#: What the bodies that are being read and worked on may take.
BODY_MEMORY = web.AppKey("body_memory", BodyMemory)

_BODY = "the request's body"
_BODY_S = 60.0
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


async def answer_page(page: Mapping[str, Any], status: int = 200) -> web.Response:
    """A document with many `items` as the response, written in steps."""

    def write() -> Generator[None, None, bytes]:
        parts = []
        for item in page["items"]:
            parts.append(encode(item))
            yield
        rest = encode({name: value for name, value in page.items() if name != "items"})
        return b'{"items":[' + b",".join(parts) + b"]" + (b"," + rest[1:] if len(rest) > 2 else b"}")

    return web.Response(body=await Share().go_through(write()), status=status, content_type="application/json")


def encode(document: Mapping[str, Any]) -> bytes:
    """`document` as compact JSON."""
    try:
        return orjson.dumps(document, default=_as_stored)
    except orjson.JSONEncodeError:
        # Half a character in a stored text must not make a whole page unreadable.
        return text_of(document).encode(errors="replace")


def _as_stored(value: object) -> orjson.Fragment:
    if isinstance(value, JsonText):
        return orjson.Fragment(value.text)
    raise TypeError


@asynccontextmanager
async def json_body(request: web.Request, limit_bytes: int, longest_text: int, most_values: int) -> AsyncIterator[Any]:
    """The body, parsed strictly; its room counts as taken for as long as the block lasts.

    Raises:
        HTTPRequestEntityTooLarge: it has more than `limit_bytes`; no more than that was read.
        HTTPRequestTimeout: it does not come.
        HTTPBadRequest: it is not sent as HTTP says.
        InvalidValueError: it is not JSON, holds more than `most_values`, or a text of more than `longest_text`.
    """
    if request.content_length is not None and request.content_length > limit_bytes:
        raise _too_large(limit_bytes)
    with request.app[BODY_MEMORY].place() as place:
        yield await _parse(await _read(request, limit_bytes, place), longest_text, most_values)


async def _read(request: web.Request, limit_bytes: int, place: Place) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            while not request.content.at_eof():
                body += await request.content.readany()
                if len(body) > limit_bytes:
                    raise _too_large(limit_bytes)
                # What has come counts, not what is said to come. A short one never waits for the long ones of others.
                if len(body) > PIECE_BYTES:
                    await place.take(len(body) - place.taken)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the request's body must come within {_BODY_S:g} s") from None
    except (web.RequestPayloadError, HttpProcessingError) as error:
        raise web.HTTPBadRequest(text=f"the request's body is not sent as HTTP says: {error!s:.200}") from None
    return bytes(body)


async def _parse(body: bytes, longest_text: int, most_values: int) -> Any:
    if len(body) <= PIECE_BYTES:
        return jsonvalue.loads(body, _BODY)
    return await Share().go_through(body_reading.read(body, most_values=most_values, longest_text=longest_text))


def _too_large(limit_bytes: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(limit_bytes, text=f"{_BODY} may have {limit_bytes} bytes at most")


class Query:
    """A request's query parameters; each name must be one of `names`, and only those in `repeatable` may repeat.

    Raises:
        InvalidOptionError: another name, a repetition, or (from the methods) a value of the wrong kind.
    """

    def __init__(self, request: web.Request, *names: str, repeatable: tuple[str, ...] = ()) -> None:
        self._values = request.query
        allowed = dict.fromkeys((*names, *repeatable))
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
