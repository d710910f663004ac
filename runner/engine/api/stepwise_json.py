"""Writes parameters as JSON in steps, none of which takes long, however many values or how long a text they hold.

What is short is written in one step, as nearly all is. What is not is taken apart: a list and an object by so many
elements at a time, a text by so many characters.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice
from typing import Any

from runner import jsonvalue
from runner.errors import InvalidValueError

#: What is written in one step: so many values, and texts of so many characters together.
_STEP_VALUES, _STEP_CHARS = 4096, 128 << 10
_ELEMENTS = 1024


def write(parameters: object, *, limit_bytes: int) -> Generator[None, None, str]:
    """As `jsonvalue.dumps` writes parameters, in steps.

    Raises:
        InvalidValueError: as `jsonvalue.dumps`.
    """
    if not isinstance(parameters, dict) or _is_short(parameters):
        return jsonvalue.dumps(parameters, limit_bytes=limit_bytes, must_be_object=True)
    parts, size, source = list[str](), 0, _parts(parameters, limit_bytes)
    while True:
        try:
            part = next(source, None)
        except (InvalidValueError, RecursionError):
            # Of a part it is not known where it stands.
            return jsonvalue.dumps(parameters, limit_bytes=limit_bytes, must_be_object=True)
        if part is None:
            return "".join(parts)
        parts.append(part)
        size += len(part) if part.isascii() else len(part.encode())
        if size > limit_bytes:
            raise jsonvalue.too_large("parameters", limit_bytes)
        if len(part) > 1:
            yield


def _parts(value: Any, limit_bytes: int) -> Iterator[str]:
    if _is_short(value):
        yield jsonvalue.dumps(value, limit_bytes=limit_bytes)
    elif type(value) is str:
        yield '"'
        for at in range(0, len(value), _STEP_CHARS):
            yield jsonvalue.dumps(value[at : at + _STEP_CHARS], limit_bytes=limit_bytes)[1:-1]
        yield '"'
    elif type(value) is dict:
        yield from _container("{}", value.items(), dict, _pair, limit_bytes)
    elif type(value) is list:
        yield from _container("[]", value, list, _parts, limit_bytes)
    else:
        raise InvalidValueError("not read from JSON")


def _container(brackets: str, elements: Any, kind: Any, parts_of: Any, limit_bytes: int) -> Iterator[str]:
    """Some elements at a time, where they are short together; else one by one."""
    left, separator = iter(elements), brackets[0]
    while some := list(islice(left, _ELEMENTS)):
        if _is_short(some):
            yield separator
            yield jsonvalue.dumps(kind(some), limit_bytes=limit_bytes)[1:-1]
            separator = ","
            continue
        for element in some:
            yield separator
            yield from parts_of(element, limit_bytes)
            separator = ","
    yield brackets[1]


def _pair(pair: tuple[str, Any], limit_bytes: int) -> Iterator[str]:
    yield from _parts(pair[0], limit_bytes)
    yield ":"
    yield from _parts(pair[1], limit_bytes)


def _is_short(value: Any) -> bool:
    """Whether it holds few values and little text; found out with no more than that looked at."""
    open_: list[Any] = [(value,)]
    values = chars = 0
    while open_:
        elements = open_.pop()
        values += len(elements)
        if values > _STEP_VALUES:
            return False
        for element in elements:
            if isinstance(element, str):
                chars += len(element)
            elif isinstance(element, dict):
                open_ += (element.keys(), element.values())
            elif isinstance(element, list | tuple):
                open_.append(element)
        if chars > _STEP_CHARS:
            return False
    return True
