"""Values that go through JSON and back exactly, by `sandbox.protocol.strict_json`, with the errors of the runner."""

from __future__ import annotations

from typing import Any

from runner.errors import InvalidValueError
from sandbox.protocol import strict_json

MAX_DEPTH = strict_json.MAX_DEPTH


def dumps(value: object, name: str = "parameters", *, limit_bytes: int, must_be_object: bool = False) -> str:
    """`value` as JSON text of at most `limit_bytes` bytes in UTF-8. Tuples become arrays.

    Raises:
        InvalidValueError: what JSON cannot carry exactly; the message begins with the place, as seen from `name`.
    """
    try:
        return strict_json.dumps(value, name, limit_bytes=limit_bytes, must_be_object=must_be_object)
    except ValueError as error:
        raise InvalidValueError(str(error)) from None


def loads(text: str | bytes, name: str = "value") -> Any:
    """The value of JSON text; whole numbers stay exact, up to 4300 digits.

    Raises:
        InvalidValueError: not JSON in UTF-8; NaN, Infinity or a number out of range; a lone surrogate; depth over 100.
    """
    try:
        return strict_json.loads(text, name)
    except ValueError as error:
        raise InvalidValueError(str(error)) from None


def too_large(name: str, limit: int) -> InvalidValueError:
    """The error that `dumps` raises for what takes more than `limit` bytes."""
    return InvalidValueError(str(strict_json.too_large(name, limit)))
