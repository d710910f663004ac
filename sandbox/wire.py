"""Frames: how both ends of a channel write and read one JSON object at a time. Pure: bytes in, values out.

A frame is its length (4 bytes, big-endian) and that many bytes of JSON in UTF-8: one object, at most `FRAME_LIMIT`
bytes. Reading trusts nothing: NaN, Infinity, numbers beyond a float's range, lone surrogates, nesting that no honest
peer sends, anything but an object, a length beyond the limit (refused before its bytes are awaited) and an end amid a
frame are a `WireError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from sandbox.errors import WireError

FRAME_LIMIT = 16 << 20
#: How many containers may stand inside each other; far below what would use up the stack of whoever looks at them.
DEPTH_LIMIT = 200
_HEADER_BYTES = 4
_CONTAINERS = frozenset({dict, list})


def encode(frame: Mapping[str, Any]) -> bytes:
    """The bytes of `frame`. Raises `WireError` for what strict JSON cannot carry or what is over `FRAME_LIMIT`."""
    try:
        body = _to_text(frame).encode()
    except (TypeError, ValueError, RecursionError) as error:  # a UnicodeEncodeError is a ValueError
        raise WireError(f"the frame is not strict JSON: {error}") from error
    if len(body) > FRAME_LIMIT:
        raise WireError(f"the frame takes {len(body)} bytes, the limit is {FRAME_LIMIT}")
    return len(body).to_bytes(_HEADER_BYTES, "big") + body


class Decoder:
    """Puts frames together from bytes as they come. Holds at most one frame and what `feed` was last given.

    Attributes:
        frame_bytes: what the last frame took.
    """

    def __init__(self) -> None:
        self.frame_bytes = 0
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take in what was received; call `next_frame` until it gives `None` before feeding more."""
        self._buffer += data

    def next_frame(self) -> dict[str, Any] | None:
        """The next whole frame, `None` if more bytes are needed. Raises `WireError`."""
        if len(self._buffer) < _HEADER_BYTES:
            return None
        length = int.from_bytes(self._buffer[:_HEADER_BYTES], "big")
        if length > FRAME_LIMIT:
            raise WireError(f"a frame of {length} bytes was announced, the limit is {FRAME_LIMIT}")
        end = _HEADER_BYTES + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_HEADER_BYTES:end])
        del self._buffer[:end]
        self.frame_bytes = length
        return _parse(body)

    def finish(self) -> None:
        """The stream has ended. Raises `WireError` if it ended amid a frame."""
        if self._buffer:
            raise WireError(f"the stream ended amid a frame, after {len(self._buffer)} bytes of it")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        frame = _from_text(body.decode())
        if b"\\u" in body:  # only an escape can smuggle a lone surrogate through UTF-8
            _to_text(frame).encode()
    except (ValueError, RecursionError) as error:
        raise WireError(f"a frame is not strict JSON: {type(error).__name__}") from error
    if not isinstance(frame, dict):
        raise WireError(f"a frame is not an object but {type(frame).__name__}")
    if body.count(b"[") + body.count(b"{") > DEPTH_LIMIT and _is_too_deep(frame):
        raise WireError(f"a frame is nested deeper than {DEPTH_LIMIT}")
    return frame


def _is_too_deep(frame: dict[str, Any]) -> bool:
    level: list[Any] = [frame]
    for _ in range(DEPTH_LIMIT):
        below: list[Any] = []
        for container in level:
            inside = container.values() if type(container) is dict else container
            if not _CONTAINERS.isdisjoint(map(type, inside)):  # many hold none, and this runs at the speed of C
                below += [each for each in inside if type(each) in _CONTAINERS]
        level = below
    return bool(level)


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:40]} is beyond the range of a float")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# `json.dumps` and `json.loads` would make one of these for each frame.
_to_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_from_text = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant).decode
