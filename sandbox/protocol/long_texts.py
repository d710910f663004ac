"""Takes the long texts out of a JSON text, so that what is left can be cut at its commas.

`pieces` cuts a text at its commas and parses piece by piece. That is not enough if there are no commas: one string of
many megabytes is one piece, and so are a million brackets. So long strings are taken out first, read a part at a time,
and put back into the piece that they came from. A text with no comma for long is refused.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Generator
from typing import Any

from sandbox.protocol.pieces import ITEMS, OUTSIDE, TEXT

Parse = Callable[[bytes], Any]

#: How much is read in one step; a string that is longer counts as long.
_STEP_BYTES = 32 << 10
#: How far one comma outside of strings may be from the next, not counting long strings in between.
_PIECE_BYTES = 256 << 10
#: The inside of a string, up to an escape that is cut off; the two halves of a surrogate pair count as one escape.
_INSIDE = re.compile(rb'(?>(?:[^"\\]++|\\u[dD][89abAB]..\\u....|\\u(?![dD][89abAB])....|\\[^u])*)', re.DOTALL)


def without_long_texts(
    body: bytes, parse: Parse, *, most_values: int = sys.maxsize, longest_text: int = sys.maxsize
) -> Generator[None, None, tuple[bytes, Parse]]:
    """The text with a word in the place of each long string, and a parser of its pieces that puts the strings back.

    Args:
        body: JSON.
        parse: reads a text at once. Raises `ValueError`.
        most_values: how many values there may be; a list or an object counts as three.
        longest_text: how many characters one of its texts may have.

    Raises:
        ValueError: it is more than that, or turns out not to be JSON.
    """
    rest, texts = yield from _taken_out(body, parse, most_values, longest_text)
    word = next(iter(texts), "").rpartition(":")[0].encode()

    def parse_piece(piece: bytes) -> Any:
        value = parse(piece)
        return _filled(value, texts) if texts and word in piece else value

    return rest, parse_piece


def _taken_out(
    body: bytes, parse: Parse, most_values: int, longest_text: int
) -> Generator[None, None, tuple[bytes, dict[str, str]]]:
    """The text with a word in the place of each long text, and what each word stands for."""
    rest, texts, word = bytearray(), dict[str, str](), os.urandom(16).hex()
    at = values = since_comma = 0
    while at < len(body):
        window = body[at : at + _STEP_BYTES]
        passed = window[: _end_of(OUTSIDE, window)]
        if passed:
            bare = TEXT.sub(b"", passed)
            # A container takes longer than the values in it, in every later step as well.
            values += bare.count(b",") + 2 * (bare.count(b"[") + bare.count(b"{"))
            if values > most_values:
                raise ValueError(f"it holds more than {most_values} values; a list or an object counts as three")
            up_to_comma = _end_of(ITEMS, passed)
            since_comma = len(passed) - up_to_comma + (0 if up_to_comma else since_comma)
            if since_comma > _PIECE_BYTES:
                raise ValueError("it is nested too deeply, or has blanks or a number without end")
            rest += passed
            at += len(passed)
        else:
            name = f"{word}:{len(texts)}"
            texts[name], at = yield from _long_text(body, parse, at + 1, longest_text)
            rest += f'"{name}"'.encode()
        yield
    return bytes(rest), texts


def _long_text(body: bytes, parse: Parse, at: int, longest: int) -> Generator[None, None, tuple[str, int]]:
    """The text whose inside begins at `at`, and where what follows it begins."""
    parts, size = list[str](), 0
    while True:
        window = body[at : at + _STEP_BYTES]
        end = _end_of(_INSIDE, window)
        if end == len(window):
            end = _end_of_characters(window)
        if not end and window[:1] == b'"':
            return "".join(parts), at + 1
        if not end:
            raise ValueError("one of its texts does not end, has half a character (a lone surrogate) or is not UTF-8")
        parts.append(parse(b'"%b"' % window[:end]))
        size += len(parts[-1])
        if size > longest:
            raise ValueError(f"one of its texts takes more than {longest} bytes")
        at += end
        yield


def _end_of(pattern: re.Pattern[bytes], text: bytes) -> int:
    found = pattern.match(text)
    return 0 if found is None else found.end()


def _end_of_characters(text: bytes) -> int:
    """Where the last UTF-8 character begins if it may go on beyond the end; else the end."""
    end = len(text)
    while end and text[end - 1] & 0xC0 == 0x80:
        end -= 1
    return end - 1 if end and text[end - 1] >= 0xC0 else end


def _filled(value: Any, texts: dict[str, str]) -> Any:
    """The value with each long text in its place."""
    if isinstance(value, str):
        return texts.get(value, value)
    if isinstance(value, list):
        return [_filled(element, texts) for element in value]
    if isinstance(value, dict):
        return {texts.get(key, key): _filled(element, texts) for key, element in value.items()}
    return value
