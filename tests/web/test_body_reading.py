"""A body that is read in steps comes to what it comes to at once, or is refused as it is then."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner import jsonvalue
from runner.errors import InvalidValueError
from runner.web.http import body_reading
from runner.web.http.body_memory import BodyMemory, Place

#: What is at home where texts are cut: escapes, halves of characters, quotes, characters of several bytes.
_PIECES = st.sampled_from(["\\", '"', "\n", "\x00", "é", "☃", "😀", "\\u00e9", ",", "[", "}", "a" * 20, "\u2028", ":0"])
_TEXTS = st.lists(_PIECES, max_size=30).map("".join) | st.text(max_size=40)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(_TEXTS, inner, max_size=6), max_leaves=40
)


@pytest.fixture
def in_small_steps(monkeypatch):
    monkeypatch.setattr("sandbox.protocol.long_texts._STEP_BYTES", 16)
    monkeypatch.setattr("sandbox.protocol.pieces.PIECE_BYTES", 24)


def read(body: bytes, *, most_values: int = 10_000, longest_text: int = 10_000):
    steps = body_reading.read(body, most_values=most_values, longest_text=longest_text)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=_VALUES, is_ascii=st.booleans())
def test_a_value_is_what_it_was(in_small_steps, value, is_ascii):
    body = json.dumps(value, ensure_ascii=is_ascii).encode()

    found = read(body)

    assert found == value
    assert json.dumps(found) == json.dumps(value)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(value=_VALUES, at=st.integers(0, 10_000), put=st.sampled_from([b"", b'"', b"\\", b"\xff", b"\xc3", b",", b"]"]))
def test_what_is_broken_is_refused_as_at_once(in_small_steps, value, at, put):
    body = json.dumps(value, ensure_ascii=False).encode()
    at %= len(body)
    broken = body[:at] + put + body[at + 1 :]
    try:
        expected = json.dumps(jsonvalue.loads(broken))
    except InvalidValueError:
        expected = None
    try:
        found = json.dumps(read(broken))
    except InvalidValueError as error:
        # A key that stands twice is refused where the second one is cut off from what is in it.
        found = expected if "stands twice" in str(error) else None

    assert found == expected


@pytest.mark.parametrize("half", ["\\ud800", "\\udc00", "\\ud800x", "\\ud800\\u0041", "\\ud8"])
@pytest.mark.parametrize("before", range(20))
def test_half_a_character_is_refused_wherever_it_stands(in_small_steps, half, before):
    with pytest.raises(InvalidValueError):
        read(f'["{"a" * before}{half}{"b" * 40}"]'.encode())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[" + b"1," * 100 + b"1]", "more than 50 values"),
        (b'["' + b"x" * 1000 + b'"]', "one of its texts takes more than 500 bytes"),
        (b'["' + b"x" * 100, "does not end"),
        (b" " * 300_000, "blanks or a number without end"),
    ],
)
def test_what_is_too_much_says_so(body, said, monkeypatch):
    monkeypatch.setattr("sandbox.protocol.long_texts._STEP_BYTES", 64)

    with pytest.raises(InvalidValueError, match=said):
        read(body, most_values=50, longest_text=500)


async def test_room_is_given_in_turn():
    memory, order = BodyMemory(10), []
    first, beyond, left, small = (memory.place() for _ in range(4))

    async def take(name: str, place: Place, wanted: int) -> None:
        await place.take(wanted)
        order.append(name)

    await take("first", first, 8)
    await take("beyond", beyond, 99)
    waiting = [
        asyncio.create_task(take(*each)) for each in (("left", left, 5), ("more", first, 1), ("small", small, 1))
    ]
    await asyncio.sleep(0)
    await take("beyond again", beyond, 99)
    waiting[0].cancel()
    assert order == ["first", "beyond", "beyond again"]

    with beyond:
        pass
    await asyncio.gather(*waiting, return_exceptions=True)

    assert order[3:] == ["more", "small"]
    for place in (first, small):
        with place:
            pass
    await take("whole", first, 10)


async def test_places_that_all_wait_for_more_come_to_an_end_one_after_the_other():
    memory, ended = BodyMemory(10), []

    async def grow(name: int) -> None:
        with memory.place() as place:
            for _ in range(4):
                await place.take(2)
                await asyncio.sleep(0)
            ended.append(name)

    async with asyncio.timeout(5):
        await asyncio.gather(*(grow(name) for name in range(6)))

    assert sorted(ended) == [*range(6)]
