"""What a server answered, as a value or as the error that it means; shared by both clients. Pure."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from runner.errors import RunnerError, StoppingError, TransportError
from runner.sdk.http_calls import HttpCall
from runner.sdk.patience import Lost

T = TypeVar("T")

_PREFIX = "urn:isolane:"
#: What a proxy answers while there is no server behind it.
_GATEWAY = {502, 503}


def read_answer(call: HttpCall[T], status: int, body: bytes, where: str) -> T:
    """What the call gives.

    Raises:
        Lost: the server, or one at its place, may take the call later.
        RunnerError: (one of its kinds) the server refused; or `TransportError`: what answered is no isolane server.
    """
    if status >= 400:
        raise read_problem(status, body, where)
    try:
        return call.read(json.loads(body) if body else None)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TransportError(f"{where} answered {status} with what isolane never says: {body[:100]!r}") from None


def read_problem(status: int, body: bytes, where: str) -> RunnerError | Lost:
    """What to raise for an answer that is an error."""
    error = _error(status, body, where)
    if isinstance(error, StoppingError):
        return Lost(error, may_have_acted=False)
    if isinstance(error, TransportError) and status in _GATEWAY:
        return Lost(error, may_have_acted=True)
    return error


def _error(status: int, body: bytes, where: str) -> RunnerError:
    """The error that a problem document (RFC 9457) stands for."""
    try:
        document = json.loads(body)
        kind, detail = document["type"], document["detail"]
        if kind.startswith(_PREFIX) and isinstance(detail, str):
            return RunnerError.rebuild(kind.removeprefix(_PREFIX), detail)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return TransportError(f"{where} answered {status}, and not as isolane does: is this its address? {body[:100]!r}")


def read_line(line: bytes, where: str) -> dict[str, Any]:
    """One line of a log.

    Raises:
        TransportError: cut off, or no line of a log.
    """
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("number"), int):
        raise TransportError(f"{where} sent what is no line of a log: {line[:100]!r}")
    return document
