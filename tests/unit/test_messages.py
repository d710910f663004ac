"""The table of messages: what conversations are held to, and what README says."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.domain.messages import MESSAGES, Longest, Message
from sandbox.protocol.wire import FRAME_LIMIT, SHORT_BYTES

README = Path(__file__).parents[2] / "runner" / "engine" / "attempts" / "README.md"


def test_the_readme_has_the_table_that_conversations_are_held_to():
    _, _, table = README.read_text().partition("| kind | sender | longest | number |\n| --- | --- | --- | --- |\n")

    assert table.partition("\n\n")[0].splitlines() == [row(message) for message in MESSAGES]


def row(message: Message) -> str:
    size = f"{message.longest >> 20} MB" if message.longest >= 1 << 20 else f"{message.longest >> 10} KB"
    added = " + `limits.result`" if message.adds_result else ""
    return f"| {message.kind} | {message.sender} | {size}{added} | {message.often} |"


@pytest.mark.parametrize(
    ("beginning", "longest"),
    [
        (b'{"type":"log","level":"INFO"', 400 << 10),
        (b'{"type": "log", "level": "INFO"', 400 << 10),
        (b' {\n "type" : "call"', FRAME_LIMIT),
        (b'{"type":"response"', (512 << 10) + 1000),
        (b'{"type":"progress"', 8 << 10),
        (b'{"type":"manifest"', SHORT_BYTES),
        (b'{"type":"reply"', SHORT_BYTES),
        (b'{"level":"INFO","type":"log"', SHORT_BYTES),
        (b'["type":"log"', SHORT_BYTES),
        (b"\xff" * 64, SHORT_BYTES),
    ],
)
def test_how_long_a_message_may_be_is_known_by_its_beginning(beginning: bytes, longest: int):
    assert Longest("task", 1000)(beginning) == longest


def test_no_message_is_longer_than_a_frame():
    assert Longest("task", FRAME_LIMIT)(b'{"type":"response"') == FRAME_LIMIT
