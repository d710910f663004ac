"""Frames: how both ends of a channel write and read one JSON object at a time. Pure: bytes in, values out.

A frame is its length (4 bytes, big-endian) and that many bytes of JSON in UTF-8: one object, at most `FRAME_LIMIT`
bytes. Reading trusts nothing: NaN, Infinity, lone surrogates, nesting that no honest peer sends, anything but an
object, a length beyond the limit (refused before its bytes are awaited) and an end amid a frame are a `WireError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from sandbox.errors import WireError

FRAME_LIMIT = 16 << 20
_HEADER_BYTES = 4


def encode(frame: Mapping[str, Any]) -> bytes:
    """The bytes of `frame`. Raises `WireError` for what strict JSON cannot carry or what is over `FRAME_LIMIT`."""
    try:
        body = json.dumps(frame, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:  # a UnicodeEncodeError is a ValueError
        raise WireError(f"the frame is not strict JSON: {error}") from error
    if len(body) > FRAME_LIMIT:
        raise WireError(f"the frame takes {len(body)} bytes, the limit is {FRAME_LIMIT}")
    return len(body).to_bytes(_HEADER_BYTES, "big") + body


class Decoder:
    """Puts frames together from bytes as they come. Holds at most one frame and what `feed` was last given."""

    def __init__(self) -> None:
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
        return _parse(body)

    def finish(self) -> None:
        """The stream has ended. Raises `WireError` if it ended amid a frame."""
        if self._buffer:
            raise WireError(f"the stream ended amid a frame, after {len(self._buffer)} bytes of it")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        frame = json.loads(body.decode(), parse_constant=_refuse_constant)
        if b"\\u" in body:  # only an escape can smuggle a lone surrogate through UTF-8
            json.dumps(frame, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise WireError(f"a frame is not strict JSON: {type(error).__name__}") from error
    if not isinstance(frame, dict):
        raise WireError(f"a frame is not an object but {type(frame).__name__}")
    return frame


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
