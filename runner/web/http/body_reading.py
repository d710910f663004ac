"""Reads a long body as JSON in steps, none of which takes long, whatever is in it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from runner import jsonvalue
from runner.errors import InvalidValueError
from sandbox.protocol import pieces
from sandbox.protocol.long_texts import without_long_texts


def read(body: bytes, *, most_values: int, longest_text: int) -> Generator[None, None, Any]:
    """The value of a body.

    Raises:
        InvalidValueError: it is not strict JSON, or holds more values or a longer text than it may.
    """
    try:
        rest, parse = yield from without_long_texts(body, _parse, most_values=most_values, longest_text=longest_text)
        return (
            yield from pieces.read(
                rest, parse, depth=jsonvalue.MAX_DEPTH, most_values=most_values, most_containers=most_values
            )
        )
    except ValueError as error:
        raise InvalidValueError(f"the request's body cannot be taken: {error!s:.300}") from None


def _parse(piece: bytes) -> Any:
    return jsonvalue.loads(piece, "a part of it")
