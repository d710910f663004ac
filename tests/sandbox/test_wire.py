"""Frames, as an honest and as a hostile peer sends them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import WireError
from sandbox.protocol.wire import DEPTH_LIMIT, FRAME_LIMIT, Decoder, encode

text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=20,
)


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@given(st.lists(st.dictionaries(text, values), max_size=4), st.data())
def test_frames_arrive_as_they_were_sent_however_they_are_cut(frames, data):
    stream = b"".join(encode(frame) for frame in frames)
    decoder, arrived = Decoder(), []

    while stream:
        size = data.draw(st.integers(1, len(stream)))
        decoder.feed(stream[:size])
        stream = stream[size:]
        while (frame := decoder.next_frame()) is not None:
            arrived.append(frame)
    decoder.finish()

    assert arrived == frames


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"what",
        b"[]",
        b'"text"',
        b"null",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b'{"a":[-1e400]}',
        b'{"a":' + b"9" * 400 + b".0}",
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":"\xff"}',
        b'{"a":1}{"b":2}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT + b"}",
        b'{"a":' * DEPTH_LIMIT + b"{}" + b"}" * DEPTH_LIMIT,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:16]),
)
def test_what_is_no_strict_json_object_is_refused(body):
    decoder = Decoder()
    decoder.feed(framed(body))

    with pytest.raises(WireError):
        decoder.next_frame()


def test_a_length_beyond_the_limit_is_refused_before_its_bytes_come():
    decoder = Decoder()
    decoder.feed((FRAME_LIMIT + 1).to_bytes(4, "big"))

    with pytest.raises(WireError, match="announced"):
        decoder.next_frame()


def test_the_end_amid_a_frame_is_refused():
    decoder = Decoder()
    decoder.feed(framed(b"{}")[:-1])
    assert decoder.next_frame() is None

    with pytest.raises(WireError, match="amid"):
        decoder.finish()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {1, 2}, b"bytes", object()])
def test_what_strict_json_cannot_carry_is_not_sent(value):
    with pytest.raises(WireError):
        encode({"value": value})


def test_what_is_too_large_is_not_sent():
    with pytest.raises(WireError, match="limit"):
        encode({"value": "x" * FRAME_LIMIT})


def test_a_cycle_is_not_sent():
    frame: dict[str, object] = {}
    frame["self"] = frame

    with pytest.raises(WireError):
        encode(frame)


def test_what_is_nested_up_to_the_limit_arrives():
    frame: dict[str, object] = {"wide": [[], {}] * DEPTH_LIMIT}
    for _ in range(DEPTH_LIMIT - 3):
        frame = {"inner": frame}
    decoder = Decoder()
    decoder.feed(encode(frame))

    assert decoder.next_frame() == frame


def test_a_paired_surrogate_is_a_character():
    decoder = Decoder()
    decoder.feed(framed(json.dumps({"a": "😀"}).encode()))

    assert decoder.next_frame() == {"a": "😀"}
