"""JSON, exactly: what goes through and back, and what is refused by its place."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import sys
import time
import uuid
from collections import Counter, OrderedDict, namedtuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InvalidValueError
from runner.jsonvalue import dumps, loads

LIMIT = 5 << 20

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | st.text()
values = st.recursive(leaves, lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside), max_leaves=30)


def same(a, b):
    """Equal also in type: to Python, 1 is True and 1.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b and (not isinstance(a, float) or math.copysign(1, a) == math.copysign(1, b))


@given(values)
def test_every_json_value_comes_back_the_same(value):
    assert same(loads(dumps(value, limit_bytes=LIMIT)), value)


@given(values)
def test_what_is_written_is_json_to_others(value):
    assert same(json.loads(dumps(value, limit_bytes=LIMIT)), value)


@given(st.recursive(leaves | st.binary() | st.just(math.nan), st.lists, max_leaves=10))
def test_a_value_is_written_whole_or_refused(value):
    try:
        text = dumps(value, limit_bytes=LIMIT)
    except InvalidValueError:
        return
    assert same(loads(text), value)


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    A = "a"


Pair = namedtuple("Pair", "a b")  # noqa: PYI024 - the kind that libraries return


@dataclasses.dataclass
class Record:
    a: int = 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            'parameters["x"][1] is a datetime; pass it as text: value.isoformat()',
        ),
        (dt.date(2026, 1, 1), 'parameters["x"][1] is a date; pass it as text: value.isoformat()'),
        (dt.timedelta(1), 'parameters["x"][1] is a timedelta; pass it as a number: value.total_seconds()'),
        ({1}, 'parameters["x"][1] is a set; pass it as a list: sorted(value)'),
        (b"x", 'parameters["x"][1] is a bytes; pass it as text: base64.b64encode(value).decode()'),
        (decimal.Decimal(1), 'parameters["x"][1] is a Decimal; pass it as text: str(value)'),
        (uuid.uuid4(), 'parameters["x"][1] is an UUID; pass it as text: str(value)'),
        (Path(), 'parameters["x"][1] is a PosixPath; pass it as text: str(value)'),
        (Colour.RED, 'parameters["x"][1] is a member of the enum Colour; pass its value: value.value'),
        (Number.ONE, 'parameters["x"][1] is a member of the enum Number; pass its value: value.value'),
        (Word.A, 'parameters["x"][1] is a member of the enum Word; pass its value: value.value'),
        (Record(), 'parameters["x"][1] is a Record; pass a dict: dataclasses.asdict(value)'),
        (Pair(1, 2), 'parameters["x"][1] is a Pair; pass a dict, value._asdict(), or a list, list(value)'),
        (object(), 'parameters["x"][1] is an object, which is not JSON'),
        (math.nan, 'parameters["x"][1] is nan, which JSON cannot carry'),
        (-math.inf, 'parameters["x"][1] is -inf, which JSON cannot carry'),
        ("a\ud800", "parameters[\"x\"][1] has '\\ud800' at position 1"),
        ({"\udfff": 1}, "parameters[\"x\"][1] has a key that has '\\udfff' at position 0"),
        ({5: 1}, 'parameters["x"][1] has a key that is an int; JSON keys are text: str(key)'),
        ({None: 1}, 'parameters["x"][1] has a key that is null; JSON keys are text: str(key)'),
        pytest.param(10**5000, 'parameters["x"][1] has about 5001 digits, and 4300 are allowed', id="long"),
    ],
)
def test_what_json_cannot_carry_is_refused_by_its_place(value, message):
    with pytest.raises(InvalidValueError) as caught:
        dumps({"x": [0, value]}, limit_bytes=LIMIT)

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, (2,)), [1, [2]]),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(b=1, a=[()]), {"b": 1, "a": [[]]}),
        (type("Int", (int,), {"__repr__": lambda _: "evil"})(4), 4),
        (type("Text", (str,), {"__str__": lambda _: "evil"})("ok"), "ok"),
        (type("Float", (float,), {"__repr__": lambda _: "evil"})(0.5), 0.5),
        (type("List", (list,), {"__iter__": lambda _: iter("evil")})([1]), [1]),
        (type("Dict", (dict,), {"items": lambda _: [("e", "vil")]})(a=1), {"a": 1}),
    ],
)
def test_subclasses_become_what_they_are_of(value, plain):
    assert same(loads(dumps(value, limit_bytes=LIMIT)), plain)


def test_only_objects_where_an_object_is_asked_for():
    assert dumps({}, limit_bytes=10, must_be_object=True) == "{}"
    for wrong in ([], "x", None, 5, Record()):
        with pytest.raises(InvalidValueError, match=r"^parameters must be an object \(a dict\), not "):
            dumps(wrong, limit_bytes=LIMIT, must_be_object=True)


def test_what_could_be_an_object_is_told_how():
    with pytest.raises(InvalidValueError, match=r"not a Record; pass a dict: dataclasses.asdict\(value\)$"):
        dumps(Record(), limit_bytes=LIMIT, must_be_object=True)


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_a_hundred_levels_pass_and_one_more_does_not():
    assert loads(dumps(nested(100), limit_bytes=LIMIT)) == nested(100)
    for depth in (101, 5000, 200_000):
        with pytest.raises(InvalidValueError, match="deeper than 100"):
            dumps(nested(depth), limit_bytes=LIMIT)
        with pytest.raises(InvalidValueError, match="deeper than 100"):
            loads("[" * depth + "]" * depth)


def test_a_cycle_is_refused():
    value = {"a": [1]}
    value["a"].append(value)

    with pytest.raises(InvalidValueError, match=r'^parameters\["a"\]\[1\] contains itself'):
        dumps(value, limit_bytes=LIMIT)


def test_one_list_in_two_places_is_no_cycle():
    shared = [1]

    assert dumps([shared, shared], limit_bytes=LIMIT) == "[[1],[1]]"


def test_a_list_that_unfolds_without_end_is_looked_at_no_further_than_to_the_limit():
    value = ["x"]
    for _ in range(60):
        value = [value, value]
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        with pytest.raises(InvalidValueError, match="takes more than 10000 bytes"):
            dumps(value, limit_bytes=10_000)
    finally:
        sys.setprofile(None)
    assert 0 < calls < 10 * 10_000


@pytest.mark.parametrize("text", ["x" * 99, "é" * 50, "\u2028" * 34])
def test_the_limit_is_on_bytes(text):
    size = len(dumps(text, limit_bytes=LIMIT).encode())

    assert dumps(text, limit_bytes=size)
    with pytest.raises(InvalidValueError, match=f"^result takes more than {size - 1} bytes as JSON, the limit"):
        dumps(text, "result", limit_bytes=size - 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NaN", "body holds a number out of range: NaN"),
        ("[-Infinity]", "body holds a number out of range: -Infinity"),
        ("1e400", "body holds a number out of range: 1e400"),
        ("1" * 5000, "body holds a number out of range"),
        ('{"a": "\\ud800"}', "body[\"a\"] has '\\ud800'"),
        ('{"\\udc00": 1}', "body has a key that has '\\udc00'"),
        ("[1,]", "body is not JSON: "),
        ("", "body is not JSON: "),
        ("1 2", "body is not JSON: "),
        ("\ufeff1", "body is not JSON: "),
        ("'a'", "body is not JSON: "),
        (b'"\xff"', "body is not UTF-8: "),
        (b'"\xed\xa0\x80"', "body is not UTF-8: "),
        ('"\ud800"', "body is not UTF-8: "),
    ],
)
def test_text_that_is_not_strictly_json_is_refused(text, message):
    with pytest.raises(InvalidValueError) as caught:
        loads(text, "body")

    assert str(caught.value).startswith(message)


def test_escapes_and_big_numbers_are_read_exactly():
    assert loads('"\\ud83d\\ude00\\u0000"') == "\U0001f600\x00"
    assert loads("9" * 4300) == int("9" * 4300)
    assert loads(b'{"a": [1.5, -0.0]}') == {"a": [1.5, -0.0]}


def test_a_deep_stack_of_the_caller_gives_an_error_and_no_crash():
    def call(depth):
        if depth:
            return call(depth - 1)
        with pytest.raises(InvalidValueError):
            dumps([Record()], limit_bytes=LIMIT)
        return True

    assert call(500)


@pytest.mark.alone
def test_a_large_value_takes_time_in_proportion():
    def best(count):
        value = [{"a": index, "b": [index, "x"]} for index in range(count)]
        return min(_timed(lambda: dumps(value, limit_bytes=100 << 20)) for _ in range(3))

    assert best(80_000) < 40 * best(4_000)  # 20 times as much


def _timed(call):
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
