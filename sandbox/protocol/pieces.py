"""Reads a long JSON text piece by piece, so that its reader can do something else in between.

The parser of the standard library is fast, but nothing else in this process runs until it has finished: a text of many
megabytes keeps an event loop, and every other thread, waiting for seconds. So a long text is cut at commas into pieces
of about `PIECE_BYTES`. Each is parsed by itself, with the brackets that are open where it begins and closed where it
ends, and its value is joined to that of the pieces before. `read` and `check` are generators: each step is a piece.

It is as strict as `wire`: the pieces give exactly the value of the whole text, or the text is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator
from typing import Any

from sandbox.protocol.wire import PIECE_BYTES

# Groups are atomic, `(?>…)`, so that nothing is tried twice. Not possessive, `(…)*+`: before Python 3.11.5 such a group
# matches too much (cpython gh-106052).
_TEXT = rb'"(?>(?:[^"\\]++|\\.)*)"'
#: One text.
TEXT = re.compile(_TEXT, re.DOTALL)
#: Bytes that begin and end outside of texts; bytes that begin inside of one.
OUTSIDE = re.compile(rb'(?>(?:[^"]++|' + _TEXT + rb")*)", re.DOTALL)
_INSIDE = re.compile(rb'(?>(?:[^"\\]++|\\.)*)', re.DOTALL)
#: As many items as there are, each with its comma; begins outside of texts.
ITEMS = re.compile(rb'(?>(?:(?>(?:[^",]++|' + _TEXT + rb")*),)*)", re.DOTALL)
_SEPARATORS = b"[]{},"
_ALL_BUT_SEPARATORS = bytes(set(range(256)) - set(_SEPARATORS))
_BLANKS = b" \t\n\r"
_CLOSED_BY = {ord("["): b"]", ord("{"): b"}"}
#: Keys that mark where a piece begins and ends inside a container. Random, so that no text contains them.
_INNER, _MARK = os.urandom(16).hex(), os.urandom(16).hex()

Parse = Callable[[bytes], Any]


def count_values(text: bytes) -> int:
    """How many values a JSON text holds, keys not counted; a little more if it is not JSON."""
    return sum(map(TEXT.sub(b"", text).count, (b",", b"[", b"{"))) + 1


def check(text: bytes, parse: Parse, *, depth: int) -> Generator[None, None, None]:
    """Check, piece by piece, that the text is one value.

    Args:
        text: JSON.
        parse: reads a text at once, whatever its depth. Raises `ValueError`.
        depth: how many containers may stand inside each other.

    Raises:
        ValueError: it is not.
    """
    for _ in _Cutter(text, depth).values(parse):
        yield


def read(
    text: bytes, parse: Parse, *, depth: int, most_values: int, most_containers: int
) -> Generator[None, None, Any]:
    """The value of a text, piece by piece.

    Args:
        text: JSON.
        parse: reads a text at once, whatever its depth. Raises `ValueError`.
        depth: how many containers may stand inside each other.
        most_values: how many values there may be.
        most_containers: how many of them may be arrays and objects.

    Raises:
        ValueError: it is not JSON, or more than that; or one of its objects has a key twice, at an unlucky place.
    """
    cutter = _Cutter(text, depth)
    whole: Any = None
    standing: list[Any] = []  # the containers that are open, from the outermost
    for piece in cutter.values(parse):
        if cutter.counted > most_values:
            raise ValueError(f"it holds more than {most_values} values")
        if cutter.containers > most_containers:
            raise ValueError(f"it holds more than {most_containers} arrays and objects")
        spine = [piece] if cutter.open else []
        while spine and len(spine) < len(cutter.open):
            spine.append(_last(spine[-1]))
        if spine:
            _unmark(spine[-1])
        if not standing:
            whole = piece
        part = piece
        for level, container in enumerate(standing):
            part = _join(container, part, is_innermost=level == len(standing) - 1)
        standing = standing[: cutter.kept] + spine[cutter.kept :]
        yield
    return whole


class _Cutter:
    """Cuts a text, and counts its values.

    Attributes:
        counted: values so far, about.
        containers: how many of these are arrays and objects.
        open: the brackets that are open after the last piece.
        kept: how many of those were open before it.
    """

    def __init__(self, text: bytes, depth: int) -> None:
        self._text, self._depth = text, depth
        self.counted = self.containers = 0
        self.open = b""
        self.kept = 0

    def values(self, parse: Parse) -> Generator[Any, None, None]:
        """The value of each piece, with the containers around it."""
        begin, end = 0, len(self._text)
        while begin < end or not begin:
            cut = self._cut(begin)
            piece, is_last = self._text[begin:cut], cut == end
            if not is_last:
                piece = piece[:-1]
            self._refuse_stray_comma(piece, is_first=begin == 0, is_last=is_last)
            before = self.open
            self._follow(piece)
            if bool(self.open) == is_last:
                raise ValueError("its brackets do not match")
            yield parse(_opened(before) + piece + _closed(self.open))
            begin = cut

    def _cut(self, begin: int) -> int:
        """Where the piece ends: after a comma, or with the text."""
        text, at, end, is_inside = self._text, begin, len(self._text), False
        while at < end:
            window = text[at : at + PIECE_BYTES]
            if is_inside:
                at += _INSIDE.match(window).end()  # type: ignore[union-attr]  # it matches nothing at least
                if text[at : at + 1] == b'"':
                    at, is_inside = at + 1, False
                elif end - at < 2:
                    break
                continue
            if at + len(window) == end:
                break
            if items := ITEMS.match(window).end():  # type: ignore[union-attr]
                return at + items
            passed = OUTSIDE.match(window).end()  # type: ignore[union-attr]
            at, is_inside = at + passed + (passed < len(window)), passed < len(window)
        return end

    def _refuse_stray_comma(self, piece: bytes, *, is_first: bool, is_last: bool) -> None:
        """The brackets that are put around a piece must not turn wrong JSON into right one."""
        content = piece.strip(_BLANKS)
        if (not is_first and content[:1] in b"]}") or (not is_last and content[-1:] in b"[{"):
            raise ValueError("a comma stands where none may")

    def _follow(self, piece: bytes) -> None:
        """Take in which brackets the piece opens and closes."""
        outside = TEXT.sub(b"", piece) if b'"' in piece else piece
        separators = outside.translate(None, _ALL_BUT_SEPARATORS)
        containers = separators.count(b"[") + separators.count(b"{")
        self.containers += containers
        self.counted += separators.count(b",") + containers + 1
        brackets, before = separators.replace(b",", b""), self.open
        rest, rounds = self._reduce(brackets)
        opened = rest.lstrip(b"]}")
        closed = rest[: len(rest) - len(opened)]
        self.kept = len(before) - len(closed)
        if self.kept < 0 or closed != _closers(before[self.kept :]) or opened.strip(b"[{"):
            raise ValueError("its brackets do not match")
        self.open = before[: self.kept] + opened
        if len(before) + len(opened) + rounds > self._depth:  # it may be too deep, so count exactly
            self._reduce(before + brackets + _closers(self.open))

    def _reduce(self, brackets: bytes) -> tuple[bytes, int]:
        """The brackets without pairs that match, and how deep those were nested. Refuses what is nested too deeply."""
        rounds = 0
        while b"[]" in brackets or b"{}" in brackets:
            brackets, rounds = brackets.replace(b"[]", b"").replace(b"{}", b""), rounds + 1
            if rounds > self._depth:
                raise ValueError(f"it is nested deeper than {self._depth}")
        return brackets, rounds


def _closers(opened: bytes) -> bytes:
    return b"".join(_CLOSED_BY[bracket] for bracket in reversed(opened))


def _opened(before: bytes) -> bytes:
    """What is put before a piece: the containers that are open there, each within the one before it."""
    inner = [b"[" if bracket == ord("[") else b'{"%b":' % _INNER.encode() for bracket in before[:-1]]
    return b"".join(inner) + before[-1:]


def _closed(after: bytes) -> bytes:
    """What is put after a piece: a mark in the innermost container, and the ends of all."""
    if not after:
        return b""
    mark = b',"%b"' if after[-1:] == b"[" else b',"%b":0'
    return mark % _MARK.encode() + _closers(after)


def _last(container: Any) -> Any:
    """The last element; it is a container, if the text's objects have each key once."""
    if container and isinstance(container, dict):
        return next(reversed(container.values()))
    if container and isinstance(container, list):
        return container[-1]
    raise ValueError("one of its keys stands twice")


def _unmark(container: Any) -> None:
    """Remove the mark. If it is not there, an object had an earlier key again, and that was taken for the last."""
    if isinstance(container, list) and container[-1:] == [_MARK]:
        container.pop()
    elif not (isinstance(container, dict) and container.pop(_MARK, None) == 0):
        raise ValueError("one of its keys stands twice")


def _join(container: Any, part: Any, *, is_innermost: bool) -> Any:
    """Add the values of a piece to a container that was open before; returns the values for the container inside it."""
    inside: Any = None
    if isinstance(container, dict):
        if not is_innermost:
            inside = part.pop(_INNER)
        container.update(part)
    else:
        inside = None if is_innermost else part[0]
        container.extend(part if is_innermost else part[1:])
    return inside
