"""Output is cut into lines, and lines into pieces, in the same way however it comes."""

from __future__ import annotations

import random

import pytest

from runner.domain.masking import Mask
from runner.engine.attempts.lines import LINE_BYTES, Lines, Piece


def _mask(secret: str = "") -> Mask:
    mask = Mask()
    mask.learn({"KEY": secret} if secret else {})
    return mask


def _lines(pieces: list[Piece]) -> list[bytes]:
    """The lines that the pieces are of."""
    lines: list[bytes] = []
    for text, goes_on in pieces:
        if goes_on:
            lines[-1] += text
        else:
            lines.append(text)
    return lines


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (b"one\ntwo", [b"one", b"two"]),
        (b"\n\none\n", [b"", b"", b"one"]),
        (b"one\r\ntwo\r\r\n\r\nthree\r\n", [b"one", b"two", b"", b"three"]),
        (b"\r10%\r20%\r100%\ndone\n", [b"10%", b"20%", b"100%", b"done"]),
        (b"10%\r20%\r\r", [b"10%", b"20%"]),
        (b"\xe2\x82\n\xff", [b"\xe2\x82", b"\xff"]),
        (b"", []),
    ],
)
def test_lines_are_the_same_however_they_come_and_whenever_they_are_shown(output: bytes, lines: list[bytes]) -> None:
    for size in range(1, len(output) + 2):
        for shows in (False, True):
            cutter, pieces = Lines(_mask()), []
            for start in range(0, len(output), size):
                pieces += cutter.take(output[start : start + size])
                if shows:
                    pieces += cutter.show()
            assert _lines(pieces + cutter.end()) == lines


def test_pieces_hold_whole_characters_in_any_portions() -> None:
    source = random.Random(1)
    text = "".join(source.choice("a\u00e9\u20ac\U0001f600") for _ in range(30_000))
    for size in (1, 2, 1000, 2048, 100_000):
        cutter, pieces = Lines(_mask()), []
        for number, start in enumerate(range(0, len(text.encode()), size)):
            pieces += cutter.take(text.encode()[start : start + size])
            if number % 7 == 0:
                pieces += cutter.show()
        pieces += cutter.end()
        assert "".join(piece.decode() for piece, _ in pieces) == text
        assert max(len(piece) for piece, _ in pieces) <= LINE_BYTES
        assert len(_lines(pieces)) == 1


@pytest.mark.parametrize("byte", [b"\x80", b"\xff", b"\xf0"])
def test_what_is_no_text_is_cut_anywhere(byte: bytes) -> None:
    cutter = Lines(_mask())

    pieces = cutter.take(byte * 100_000) + cutter.show() + cutter.end()

    assert _lines(pieces) == [byte * 100_000]
    assert max(len(piece) for piece, _ in pieces) <= LINE_BYTES


@pytest.mark.parametrize("secret", ["s3cret-value", "begins\rand ends", "aaaaab"])
def test_what_is_shown_holds_no_part_of_a_secret(secret: str) -> None:
    output = f"......{secret}...{secret}\n..".encode()
    cutter, pieces = Lines(_mask(secret)), []
    for place in range(len(output)):
        pieces += cutter.take(output[place : place + 1])
        pieces += cutter.show()
    pieces += cutter.end()

    said = b"\n".join(_lines(pieces))
    assert set(said) <= set(b".*\n")
    assert said.count(b".") == 11


def test_dots_are_shown_at_once_beside_secrets() -> None:
    cutter = Lines(_mask("a-long-secret" * 100))

    cutter.take(b"...a-long")

    assert cutter.show() == [(b"...", False)]
    assert cutter.end() == [(b"a-long", True)]
