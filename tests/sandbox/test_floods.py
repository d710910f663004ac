"""Functions and programs that answer, or print, more than a caller's event loop can take at once."""

from __future__ import annotations

import textwrap

import pytest

from sandbox import Sandbox
from support.loop_pauses import watched_loop

pytestmark = pytest.mark.alone

SOURCE = """
    import os, socket

    def says(body):
        stream = socket.socket(fileno=os.dup(3))
        while True:
            stream.sendall(len(body).to_bytes(4, "big") + body)

    def answers(inside, count):
        says(b'{"value":[' + inside.encode() * count + b"0]}")

    def returns(inside, count):
        return [inside] * count

    def prints(line):
        data = line.encode("latin-1") * (1 << 16)
        while True:
            os.write(1, data)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("floods") / "flood.py"
    path.write_text(textwrap.dedent(SOURCE))
    return path


@pytest.mark.parametrize(
    ("inside", "count"),
    [("[],", 5_000_000), ("[" * 90 + "]" * 90 + ",", 80_000), ("1,", 7_000_000), ('{"a":{"b":0}},', 1_000_000)],
    ids=["lists", "nested", "numbers", "objects"],
)
async def test_a_long_answer_of_whatever_shape_holds_up_nobody(file, inside: str, count: int) -> None:
    async with Sandbox() as sandbox, watched_loop() as pauses:
        await sandbox.call(f"{file}:answers", inside, count, timeout_s=10)

    assert pauses.longest_s < 0.1


@pytest.mark.parametrize(("value", "count"), [(1, 1_500_000), ([1, "a,b"], 200_000), ("å" * 100, 70_000)])
async def test_a_long_value_comes_back_as_it_was(file, value: object, count: int) -> None:
    async with Sandbox() as sandbox, watched_loop() as pauses:
        outcome = await sandbox.call(f"{file}:returns", value, count)

    assert outcome.value == [value] * count
    assert pauses.longest_s < 0.1


@pytest.mark.parametrize("line", ["\n", "\xff", "x"])
async def test_a_flood_of_output_holds_up_nobody(file, line: str) -> None:
    async with Sandbox() as sandbox, watched_loop() as pauses:
        outcome = await sandbox.call(f"{file}:prints", line, timeout_s=1)

    assert outcome.reason == "timeout"
    assert outcome.is_truncated
    assert pauses.longest_s < 0.1
