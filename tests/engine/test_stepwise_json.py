"""What is written in steps is what is written at once, and no step writes much."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner import jsonvalue
from runner.engine.api import stepwise_json
from runner.errors import InvalidValueError
from support.nodes import running_node
from support.projects import write_project

LIMIT = 16 << 20
LONG = {
    "numbers": {"a": [0.5, 1, None, True] * 60_000},
    "objects": {"a": [{"b": [], "c": {}}] * 30_000},
    "keys": {f"key {number}": number for number in range(100_000)},
    "a long key": {"k\n☃" * 200_000: 1},
    "a text": {"a": '😀\n☃"' * 300_000},
    "texts": {"a": ["x" * 50_000] * 90, "b": ["y" * 200_000] * 3},
    "deep": {"a": json.loads("[" * 90 + "1," + "2," * 5000 + "3" + "]" * 90)},
    "many short": {"a": [list(range(100))] * 2000},
}


def written(value, limit_bytes=LIMIT):
    steps = 0
    writer = stepwise_json.write(value, limit_bytes=limit_bytes)
    while True:
        try:
            next(writer)
        except StopIteration as end:
            return end.value, steps
        steps += 1


@pytest.mark.parametrize("name", LONG)
def test_what_is_long_is_written_in_steps_and_the_same(name, monkeypatch):
    lengths, dumps = [], jsonvalue.dumps
    expected = dumps(LONG[name], limit_bytes=LIMIT)

    def counted(value, *args, **kwargs):
        text = dumps(value, *args, **kwargs)
        lengths.append(len(text))
        return text

    monkeypatch.setattr(jsonvalue, "dumps", counted)
    text, steps = written(LONG[name])

    assert text == expected
    assert steps >= len(expected) // (256 << 10)
    assert max(lengths) <= 512 << 10


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9), inner, max_size=6),
            max_leaves=30,  # ten times a step
        ),
        max_size=6,
    )
)
def test_steps_of_any_size_give_the_same(value):
    before = stepwise_json._STEP_VALUES, stepwise_json._STEP_CHARS, stepwise_json._ELEMENTS
    stepwise_json._STEP_VALUES, stepwise_json._STEP_CHARS, stepwise_json._ELEMENTS = 3, 2, 2
    try:
        assert written(value)[0] == jsonvalue.dumps(value, limit_bytes=LIMIT)
    finally:
        stepwise_json._STEP_VALUES, stepwise_json._STEP_CHARS, stepwise_json._ELEMENTS = before


@pytest.mark.parametrize("name", LONG)
def test_what_is_too_large_is_refused_in_the_same_words(name):
    with pytest.raises(InvalidValueError, match=r"^parameters takes more than 5000 bytes"):
        written(LONG[name], 5000)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({1, 2}, r'^parameters\["a"\]\[5000\] is a set'),
        (float("nan"), r'^parameters\["a"\]\[5000\] is nan'),
        ("\ud800", r'^parameters\["a"\]\[5000\] has '),
    ],
)
def test_what_is_not_json_is_told_by_its_place(wrong, said):
    with pytest.raises(InvalidValueError, match=said):
        written({"a": [1] * 5000 + [wrong]})


@pytest.mark.parametrize("name", LONG)
async def test_one_long_run_of_a_batch_is_many_steps(tmp_path, name):
    project = write_project(tmp_path, {"idle.py": "def run(parameters): pass\n"})
    async with running_node(project) as node:
        asked = [{"task": "idle"}, {"task": "idle", "parameters": LONG[name]}]
        steps = sum(1 for _ in node.operations._submission.preparing("main", asked))

    assert steps > len(asked)
