"""What came from elsewhere is shown so that no terminal and no reader of a log takes it for more than text."""

from __future__ import annotations

import json
import logging
import sys
import unicodedata

import pytest

from runner.domain.escaping import escaped, escaped_json, escaped_lines, is_plain
from runner.domain.logformat import Formatter

#: One of each kind: title, clear, clipboard, C1, carriage return, direction, separators of lines, tags, no character.
HOSTILE = [
    *("\x1b]0;title\x07", "\x1b[2J", "\x1b]52;c;cm0=\x07", "\x9b31m", "\x85", "\r", "\x00", "\x08", "\x7f"),
    *("\u202e", "\u2066", "\u200f", "\u061c", "\u2028", "\u2029", "\U000e0041", "\ufeff", "\udcff"),
]
STEERING = {"Cc", "Zl", "Zp", "Cs"}


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_steers_is_left(text):
    for shown in (escaped(f"a{text}b"), escaped_lines(f"a{text}b"), escaped_json(json.dumps(text, ensure_ascii=False))):
        assert shown.isprintable()
    assert not is_plain(text)
    assert json.loads(escaped_json(json.dumps(text, ensure_ascii=False))) == text


def test_every_character_of_the_kinds_that_steer_is_escaped():
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) in STEERING or unicodedata.bidirectional(character) in {
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        }:
            assert escaped(character).isprintable() or character == "\t", hex(code)


def test_lines_stay_lines_only_where_they_are_meant():
    assert escaped("one\ntwo\tthree") == "one\\ntwo\tthree"
    assert escaped_lines("one\ntwo\r\n") == "one\ntwo\\r\n"


@pytest.mark.parametrize("text", ["Ærlig talt, 你好, שלום", "👩\u200d👩\u200d👧", "\u0645\u06cc\u200c\u062e\u0648"])
def test_words_of_every_language_stay_as_they_are(text):
    assert escaped(text) == escaped_json(text) == text
    assert is_plain(text)


def test_no_record_forges_another():
    forged = "2026-11-28 00:00:00,000 INFO forged"
    fault = (ValueError, ValueError(f"\x1b[2J\n{forged}"), None)
    record = logging.LogRecord("a", logging.ERROR, "", 1, "tasks/%s", (f"a\n{forged}",), fault)
    record.stack_info = f"stack\n{forged}"

    lines = Formatter("%(levelname)s %(message)s").format(record).split("\n")

    assert lines[0] == f"ERROR tasks/a\\n{forged}"
    assert all(line.startswith("    ") and line.isprintable() for line in lines[1:])
