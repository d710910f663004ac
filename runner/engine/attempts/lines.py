"""Cuts what a process writes into lines, and long or unfinished lines into pieces. Pure: nothing is read or kept here.

A line ends with a newline, with a return, or with both: each state of a progress bar is a line of its own. A piece ends
neither within a character nor within what may become a secret, which is masked first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

from runner.domain.masking import Mask

#: A longer line is given in pieces.
LINE_BYTES = 16 << 10
_ENDS = re.compile(rb"\r+\n?|\n")

#: What to keep, and whether it goes on with the line of the piece before.
Piece: TypeAlias = tuple[bytes, bool]


class Lines:
    """Takes what one stream brings, in any portions.

    Attributes:
        ended: how many lines have ended.
    """

    def __init__(self, mask: Mask) -> None:
        self.ended = 0
        self._mask = mask
        self._partial = b""  # of the line that has not ended, what was not given yet
        self._goes_on = False  # a piece of that line was given
        self._after_return = False  # a newline that comes now belongs to the end that was seen

    @property
    def is_unfinished(self) -> bool:
        """Whether something waits for the end of its line."""
        return bool(self._partial)

    def take(self, chunk: bytes) -> list[Piece]:
        """The pieces that are complete with `chunk`."""
        if self._after_return:
            chunk = chunk.lstrip(b"\r")
            is_over = chunk.startswith(b"\n")
            chunk = chunk[is_over:]
            self._after_return = not chunk and not is_over
        if not chunk:
            return []
        text = self._partial + chunk
        if chunk.endswith(b"\r"):
            line = text.rstrip(b"\r")
            self._after_return = not line.endswith(b"\n") if line else self._goes_on
        place = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        pieces: list[Piece] = []
        if place:
            for line in _split(self._mask.output(text[:place]), goes_on=self._goes_on):
                self._give(pieces, line)
                self._goes_on = False
                self.ended += 1
        self._partial = text[place:]
        # The end of a line that goes on may be the beginning of a secret: it is not cut off from what follows.
        if len(self._partial) > LINE_BYTES + self._mask.longest:
            self._partial = self._mask.output(self._partial)
            while len(self._partial) > LINE_BYTES + self._mask.longest:
                self._give_from_partial(pieces, _whole(self._partial, LINE_BYTES))
        return pieces

    def show(self) -> list[Piece]:
        """What there is of an unfinished line, so that it need not be waited for; its rest will go on with it."""
        self._partial = self._mask.output(self._partial)
        size = _whole(self._partial, len(self._partial) - self._mask.begun(self._partial))
        pieces: list[Piece] = []
        if size:
            self._give_from_partial(pieces, size)
        return pieces

    def end(self) -> list[Piece]:
        """What is left, when nothing more will come."""
        pieces: list[Piece] = []
        if self._partial:
            self._give(pieces, self._mask.output(self._partial))
        self._partial, self._goes_on, self._after_return = b"", False, False
        return pieces

    def leave(self) -> bytes:
        """What is left, as it came, for whoever takes what comes from now on."""
        left, self._partial = self._partial, b""
        return left

    def _give_from_partial(self, pieces: list[Piece], size: int) -> None:
        self._give(pieces, self._partial[:size])
        self._partial = self._partial[size:]

    def _give(self, pieces: list[Piece], text: bytes) -> None:
        if not text and self._goes_on:
            return  # the line was given already, only its end was missing
        while len(text) > LINE_BYTES:
            size = _whole(text, LINE_BYTES)
            pieces.append((text[:size], self._goes_on))
            text, self._goes_on = text[size:], True
        pieces.append((text, self._goes_on))
        self._goes_on = True


def _split(text: bytes, *, goes_on: bool) -> Iterator[bytes]:
    """The lines of a text that ends with the end of one; `goes_on` where it begins within one."""
    if b"\r" not in text:
        yield from text[:-1].split(b"\n")
        return
    start = 0
    for end in _ENDS.finditer(text):
        line = text[start : end.start()]
        # A progress bar returns before each state, or after it: there is nothing between two returns.
        if line or end[0].endswith(b"\n") or (goes_on and not start):
            yield line
        start = end.end()


def _whole(text: bytes, size: int) -> int:
    """`size`, or a little less so that no character of UTF-8 is cut there; what is none may be cut anywhere."""
    if size < len(text):
        for place in range(size, max(size - 4, 0), -1):
            if text[place] & 0xC0 != 0x80:
                return place
        return size
    for back in range(1, min(4, size) + 1):
        byte = text[size - back]
        if byte & 0xC0 != 0x80:
            # Its first byte says how long a character is.
            length = 2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4 if byte >> 3 == 0b11110 else 1
            return size - back if length > back else size
    return size
