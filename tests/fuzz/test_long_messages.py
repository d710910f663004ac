"""Long messages of every kind, at and around what their kind may have: read piece by piece, and nobody waits for it."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.app import APP
from runner.catalog.manifest import read_manifest
from runner.domain.messages import MESSAGES
from runner.errors import InvalidError
from runner.uuid7 import uuid7
from sandbox.protocol import pieces
from support.hostile import Speech, framed, fuzzed, text_of, values
from support.loop_pauses import watched_loop
from support.nodes import Node, running_node
from support.projects import write_project
from support.speaker import Speaker, play
from support.waiting import eventually_async

CONFIG = """
[runner]
concurrency = 4
memory = "2GB"
stop_grace = "0s"
[defaults]
timeout = "10s"
memory = "128MB"
[defaults.retry]
attempts = 1
[limits]
log = "64KB"
result = "2MB"
"""
#: How a long message of each kind may begin, so that it gets as far as it can.
BEGINS = {
    "log": b'{"type":"log","level":"INFO","at":1,"message":"%b","more":[',
    "progress": b'{"type":"progress","fraction":0,"text":"%b","more":[',
    "call": b'{"type":"call","id":1,"method":"schedule","arguments":{"runs":[{"task":"speak","parameters":{"a":"%b"}},',
    "response": b'{"type":"response","result":["%b",',
    "manifest": b'{"type":"manifest","tasks":["%b",',
    "nobody": b'{"type":"nobody","a":["%b",',
}
UNITS = [
    b"[],",
    b"{},",
    b"1,",
    b"0.5e1,",
    b"9" * 4300 + b",",
    b'"\\n\\"",',
    b'{"a":1,"a":[2]},',
    b"[" * 99 + b"]" * 99 + b",",
]
UNITS += [
    b'"' + b"[{,:" * 500 + b'",',
    b'"\\ud83d\\ude00",',
    b'{"a":' * 90 + b"0" + b"}" * 90 + b",",
    b"\t \n0,",
    b"[[[",
]
LONGEST = {message.kind: message.longest + (2 << 20) * message.adds_result for message in MESSAGES}


def taken(steps: Generator[None, None, Any]) -> Any:
    """What comes of all steps, or that it is refused."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return [end.value]
        except ValueError:
            return None


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch):
    return lambda size: monkeypatch.setattr(pieces, "PIECE_BYTES", size)


@fuzzed(500)
@given(
    value=values,
    size=st.integers(3, 200),
    blanks=st.booleans(),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(list(b'[]{},:"\\ 1a'))), max_size=2),
)
def test_what_is_read_in_pieces_is_what_is_read_at_once(small_pieces, value, size, blanks, changes):
    small_pieces(size)
    text = bytearray(text_of(value))
    if blanks:
        text = bytearray(bytes(text).replace(b",", b" ,\n"))
    for at, byte in changes:
        if text:
            text[at % len(text)] = byte

    whole = taken(at_once(bytes(text)))
    read = taken(pieces.read(bytes(text), json.loads, depth=100, most_values=10**9, most_containers=10**9))
    checked = taken(pieces.check(bytes(text), json.loads, depth=100))

    # A key that stands twice may be refused, and never leads to another value.
    assert read in (whole, None)
    assert checked in (whole and [None], None)
    if whole is not None and depth_of(whole[0]) <= 100 and not has_key_twice(bytes(text)):
        assert read == whole
        assert checked == [None]


def at_once(text: bytes) -> Generator[None, None, Any]:
    yield
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(str(error)) from None


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def has_key_twice(text: bytes) -> bool:
    twice = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        twice.append(len(dict(pairs)) < len(pairs))

    json.loads(text, object_pairs_hook=note)
    return any(twice)


@pytest.mark.alone
@fuzzed(25)
@given(
    kind=st.sampled_from(list(BEGINS)),
    unit=st.sampled_from(UNITS),
    words=st.sampled_from([b"", b"x", b"\\n" * 3000, b"\x7f" * 3000, b"\\u0000" * 600]),
    by=st.sampled_from([-(1 << 19), -5000, -4, -1, 0, 1, 100]),
    times=st.sampled_from([1, 3]),
)
async def test_a_message_as_long_as_its_kind_may_be_holds_up_nobody(stage, kind, unit, words, by, times):
    node, speaker = stage
    begins = BEGINS[kind] % words
    size = max(len(begins) + 10, min(LONGEST.get(kind, 4096), 16 << 20) + by)
    closes = b"0]}}" if kind == "call" else b"0]}"
    body = begins + unit * ((size - len(begins) - len(closes)) // len(unit))
    body += b" " * (size - len(body) - len(closes)) + closes
    pauses_s = []
    while len(pauses_s) < 3 and (
        not pauses_s or pauses_s[-1] >= 0.1
    ):  # what is ours, and not the machine's, comes again
        pauses_s.append(await longest_pause(node, speaker, framed(body) * times))

    assert min(pauses_s) < 0.1, pauses_s


async def longest_pause(node: Node, speaker: Speaker, says: bytes) -> float:
    """For how long the loop stood still while a task said this, and its run and an honest one came to their ends."""
    run = uuid7()
    speaker.speeches[run] = Speech((says,), "dies")

    async def is_final() -> bool:
        return (await node.store.get(APP, run)).run.status.is_final

    async with watched_loop() as pauses:
        await node.schedule("speak", id=run)
        await eventually_async(is_final, within_s=60)  # its document is made beyond: here, the result is parsed for it
        honest = await node.run("speak", within_s=30)
    document = await node.ended(run)
    assert document["reason"] in ("success", "error", "crash", "timeout")
    assert honest["result"] == "honest"
    return pauses.longest_s


@pytest.fixture
async def stage(memory_folder):
    async with running_node(write_project(memory_folder, {"speak.py": "def run(parameters): ..."}, CONFIG)) as node:
        yield node, play(node.engine)


@fuzzed(100)
@given(schema=values, times=st.sampled_from([1, 2, 499, 500, 501]))
def test_whatever_a_schema_is_it_is_read_or_refused(schema, times):
    text = text_of([{"name": "speak", "schema": schema}] * times)
    try:
        declared = json.loads(text)
    except (ValueError, RecursionError):
        return
    try:
        read_manifest(declared, "speak")
    except InvalidError as error:
        str(error).encode()
