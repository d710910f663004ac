"""The end of a log that is too long is kept, line by line, and no part of a secret with it."""

from __future__ import annotations

from runner.domain.masking import Mask
from runner.engine.attempts.tail import Tail


def test_the_last_whole_lines_of_each_stream_are_kept() -> None:
    tail = Tail(Mask(), 15)
    for number in range(1000):
        tail.add("stdout", f"line {number}\n".encode())
    tail.add("stderr", b"x" * 100 + b"\nend")

    assert list(tail.lines()) == [("stdout", b"line 999"), ("stderr", b"end")]


def test_no_part_of_a_secret_is_kept_wherever_the_end_begins() -> None:
    mask = Mask()
    mask.learn({"KEY": "s3cret"})
    for size in range(1, 40):
        tail = Tail(mask, size)
        tail.add("stdout", b"....s3cret...\ns3cret\n.s3cret.\n")

        assert set(b"".join(line for _, line in tail.lines())) <= set(b".*")
