"""Frames: how both ends of a channel write and read one JSON object at a time. Pure: bytes in, values out.

A frame is its length (4 bytes, big-endian) and that many bytes of JSON in UTF-8: one object, at most `FRAME_LIMIT`
bytes. Reading trusts nothing. A `WireError` is raised for NaN, Infinity, numbers beyond a float's range, lone
surrogates, nesting that no honest peer sends, anything but an object, a length beyond the limit (before its bytes are
awaited), and an end in the middle of a frame.

A reader may set a lower limit on a frame's length by its first bytes. A long frame can be read piece by piece
(`pieces`). The number of its values is bounded then, since every later step takes time for each of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from typing import Any, NoReturn

from sandbox.errors import WireError
from sandbox.protocol.strict_json import decode

FRAME_LIMIT = 16 << 20
#: How deep containers may be nested; far below what would use up the stack of a reader.
DEPTH_LIMIT = 200
#: A longer frame is read in pieces of about this size.
PIECE_BYTES = 16 << 10
#: A frame of up to so many bytes is never refused for its length.
SHORT_BYTES = 4 << 10
#: So many bytes of a frame tell its kind.
BEGINNING_BYTES = 64
_HEADER_BYTES = 4
_CONTAINERS = frozenset({dict, list})


class JsonText:
    """A value of a frame that is JSON already, and is written as it is; it must be JSON, without whitespace around it.

    Its place in the frame is marked by a random word, so that no other value of the frame can move it.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def encode(frame: Mapping[str, Any], most_values: int | None = None) -> bytes:
    """The bytes of `frame`.

    Raises:
        WireError: it is not strict JSON, over `FRAME_LIMIT`, or long with more values than `most_values`.
    """
    try:
        body = text_of(frame).encode()
    except (TypeError, ValueError, RecursionError) as error:  # a UnicodeEncodeError is a ValueError
        raise WireError(f"the frame is not strict JSON: {error}") from error
    if len(body) > FRAME_LIMIT:
        raise WireError(f"the frame takes {len(body)} bytes, the limit is {FRAME_LIMIT}")
    if most_values is not None and len(body) > PIECE_BYTES and len(body) > most_values:
        _refuse_many(body, most_values)
    return len(body).to_bytes(_HEADER_BYTES, "big") + body


def text_of(value: Any) -> str:
    """A value as a frame writes it. Raises `TypeError`, `ValueError` and `RecursionError`."""
    try:
        return _to_text(value)
    except _HoldsText:
        return _with_texts(value)


def _refuse_many(body: bytes, most_values: int) -> None:
    from sandbox.protocol.pieces import count_values  # noqa: PLC0415 - most frames are short

    if (count := count_values(body)) > most_values:
        raise WireError(f"the frame holds {count} values, the limit is {most_values}")


class _HoldsText(Exception):  # noqa: N818 - it is no error
    pass


def _refuse(value: object) -> NoReturn:
    if isinstance(value, JsonText):
        raise _HoldsText
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _with_texts(value: Any) -> str:
    """As `_to_text`, for a value that holds some `JsonText`."""
    import os  # noqa: PLC0415 - few frames need it

    word, texts = os.urandom(16).hex(), list[str]()

    def mark(inner: object) -> str:
        if not isinstance(inner, JsonText):
            _refuse(inner)
        texts.append(inner.text)
        return word

    written = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=mark).encode(value)
    between = written.split(f'"{word}"')
    return "".join(part for pair in zip(between, [*texts, ""], strict=True) for part in pair)


class Decoder:
    """Puts frames together from bytes as they come. Holds at most one frame and the last bytes that it was fed.

    Args:
        longest: gives the limit on a frame's length by its first bytes; called for those over `SHORT_BYTES`.

    Attributes:
        frame_bytes: the size of the last frame.
    """

    def __init__(self, longest: Callable[[bytes], int] | None = None) -> None:
        self.frame_bytes = 0
        self._longest = longest
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take in what was received; call `next_frame` until it gives `None` before feeding more."""
        self._buffer += data

    def next_frame(self) -> dict[str, Any] | None:
        """The next whole frame, `None` if more bytes are needed. Raises `WireError`."""
        body = self.next_body()
        return None if body is None else parse(body)

    def next_body(self) -> bytes | None:
        """The body of the next whole frame; `None` if more bytes are needed. Raises `WireError`."""
        buffer = self._buffer
        if len(buffer) < _HEADER_BYTES:
            return None
        length = int.from_bytes(buffer[:_HEADER_BYTES], "big")
        if length > SHORT_BYTES:
            self._refuse_long(length)
        end = _HEADER_BYTES + length
        if len(buffer) < end:
            return None
        if length <= PIECE_BYTES:
            body = bytes(buffer[_HEADER_BYTES:end])
        else:
            with memoryview(buffer) as view:  # a copy less
                body = bytes(view[_HEADER_BYTES:end])
        del buffer[:end]
        self.frame_bytes = length
        return body

    def missing_bytes(self) -> int:
        """How much of the frame that has begun is still to come."""
        if len(self._buffer) < _HEADER_BYTES:
            return 0
        return max(0, _HEADER_BYTES + int.from_bytes(self._buffer[:_HEADER_BYTES], "big") - len(self._buffer))

    def finish(self) -> None:
        """The stream has ended. Raises `WireError` if it ended in the middle of a frame."""
        if self._buffer:
            raise WireError(f"the stream ended amid a frame, after {len(self._buffer)} bytes of it")

    def _refuse_long(self, length: int) -> None:
        """Raise `WireError` if the announced length is over the limit, as far as the frame's kind is known yet."""
        limit = FRAME_LIMIT
        beginning = bytes(self._buffer[_HEADER_BYTES : _HEADER_BYTES + BEGINNING_BYTES])
        if self._longest is not None and len(beginning) == BEGINNING_BYTES:
            limit = self._longest(beginning)
        if length > limit:
            raise WireError(f"a frame of {length} bytes was announced, the limit is {limit}")


def parse(body: bytes) -> dict[str, Any]:
    """The frame that has this body. Raises `WireError`."""
    try:
        frame = _value(body)
        if body.count(b"[") + body.count(b"{") > DEPTH_LIMIT and _is_too_deep(frame):
            raise WireError(f"a frame is nested deeper than {DEPTH_LIMIT}")
    except (ValueError, RecursionError) as error:
        raise WireError(f"a frame is not strict JSON: {type(error).__name__}") from error
    return frame if type(frame) is dict else _refuse_other(frame)


def parse_slowly(
    body: bytes, most_values: int, most_containers: int, longest_text: int = FRAME_LIMIT
) -> Generator[None, None, dict[str, Any]]:
    """As `parse`, piece by piece. Raises `WireError`, also for a frame with more values or a longer text than that."""
    from sandbox.protocol.long_texts import without_long_texts  # noqa: PLC0415 - never needed inside
    from sandbox.protocol.pieces import read  # noqa: PLC0415

    try:
        body, parse = yield from without_long_texts(
            body, _value, most_values=most_values + 2 * most_containers, longest_text=longest_text
        )
        frame = yield from read(
            body, parse, depth=DEPTH_LIMIT, most_values=most_values, most_containers=most_containers
        )
    except (ValueError, RecursionError) as error:
        raise WireError(f"a frame is not strict JSON, or more than may be sent: {error!s:.200}") from error
    return frame if type(frame) is dict else _refuse_other(frame)


def _refuse_other(frame: object) -> NoReturn:
    raise WireError(f"a frame is not an object but {type(frame).__name__}")


def _value(text: bytes) -> Any:
    """The value of a text. Raises `ValueError` and `RecursionError`."""
    value = decode(text.decode())
    if b"\\u" in text:  # only an escape can smuggle a lone surrogate through UTF-8
        _to_text(value).encode()
    return value


def _is_too_deep(value: Any) -> bool:
    level: list[Any] = [value] if type(value) in _CONTAINERS else []
    for _ in range(DEPTH_LIMIT):
        below: list[Any] = []
        for container in level:
            inside = container.values() if type(container) is dict else container
            if not _CONTAINERS.isdisjoint(map(type, inside)):  # many hold none, and this runs at the speed of C
                below += [each for each in inside if type(each) in _CONTAINERS]
        level = below
    return bool(level)


# `json.dumps` would make one of these for each frame.
_to_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_refuse).encode
