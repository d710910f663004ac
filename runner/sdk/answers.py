"""What a server answered, as a value or as the error that it means; shared by both clients. Pure."""

from __future__ import annotations

import json
from typing import TypeVar

from runner.errors import RunnerError, TransportError
from runner.sdk.calls import Call

T = TypeVar("T")

_PREFIX = "urn:isolane:"


def read_answer(call: Call[T], status: int, body: bytes, where: str) -> T:
    """What the call gives.

    Raises:
        RunnerError: (one of its kinds) the server refused; or `TransportError`: what answered is no isolane server.
    """
    if status >= 400:
        raise read_problem(status, body, where)
    try:
        return call.read(json.loads(body) if body else None)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TransportError(f"{where} answered {status} with what isolane never says: {body[:100]!r}") from None


def read_problem(status: int, body: bytes, where: str) -> RunnerError:
    """The error that a problem document (RFC 9457) stands for."""
    try:
        document = json.loads(body)
        kind, detail = document["type"], document["detail"]
        if kind.startswith(_PREFIX) and isinstance(detail, str):
            return RunnerError.rebuild(kind.removeprefix(_PREFIX), detail)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return TransportError(f"{where} answered {status}, and not as isolane does: is this its address? {body[:100]!r}")


def read_line(line: bytes, where: str) -> dict[str, object]:
    """One line of a log.

    Raises:
        TransportError: cut off, or no line of a log.
    """
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise TransportError(f"{where} sent what is no line of a log: {line[:100]!r}")
    return document
