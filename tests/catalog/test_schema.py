"""Schemas come from task code. What is checked is never stricter than they are, and costs little whatever they hold."""

from __future__ import annotations

import contextlib
import json
import time

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.catalog.schema import check, prepare
from runner.errors import InvalidValueError, ShapeError

INVOICE = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$ref": "#/$defs/Invoice",
    "$defs": {
        "Invoice": {
            "type": "object",
            "properties": {
                "customer": {"type": "integer"},
                "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
                "note": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]},
            },
            "required": ["customer"],
            "additionalProperties": False,
        },
        "Line": {"type": "object", "properties": {"amount": {"type": "number"}}, "required": ["amount"]},
    },
}
TREE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "left": {"$ref": "#"}, "right": {"$ref": "#"}},
    "required": ["value"],
}


def nested(depth, **leaf):
    value = dict(leaf)
    for _ in range(depth):
        value = {"value": 1, "left": value}
    return value


def test_a_fitting_value_passes():
    check(prepare(INVOICE), {"customer": 10**40, "lines": [{"amount": 1.5}], "note": None})


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, 'parameters: "customer" is a required property'),
        ({"customer": "7"}, 'parameters["customer"]: "7" is not of type "integer"'),
        ({"customer": True}, 'parameters["customer"]: true is not of type "integer"'),
        ({"customer": 7, "lines": [{"amount": 1}, {}]}, 'parameters["lines"][1]: "amount" is a required property'),
        ({"customer": 7, "note": "too long"}, 'parameters["note"]: "too long" is not valid under any'),
        ({"customer": 7, "extra": 1}, "parameters: Additional properties are not allowed ('extra' was unexpected)"),
    ],
)
def test_a_wrong_shape_is_refused_at_its_place(value, says):
    with pytest.raises(ShapeError) as refused:
        check(prepare(INVOICE), value)

    assert str(refused.value).startswith(says)


def test_a_long_value_is_not_repeated_in_full():
    with pytest.raises(ShapeError) as refused:
        check(prepare(INVOICE), {"customer": "x" * 1_000_000})

    assert len(str(refused.value)) < 700


def test_recursion_is_checked_at_its_first_turns_and_left_to_the_task_below():
    prepared = prepare(TREE)

    with pytest.raises(ShapeError, match=r'parameters\["left"\]: "value" is a required property'):
        check(prepared, {"value": 1, "left": {}})
    check(prepared, nested(50, value="not checked here"))


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (True, "must be an object: got true"),
        ([], "must be an object: got a list of 0"),
        ({"type": "strin"}, "is no JSON Schema"),
        ({"properties": 3}, "is no JSON Schema"),
        ({"anyOf": 3}, "is no JSON Schema"),
        ({"allOf": 3, "$ref": "#"}, "is no JSON Schema"),
        ({"patternProperties": 3}, "is no JSON Schema"),
        ({"multipleOf": 0}, "is no JSON Schema"),
        ({"pattern": "("}, "is no JSON Schema"),
        ({"pattern": "(?=a)b"}, "regex"),  # look-ahead: needs backtracking
        ({"pattern": r"(a)\1"}, "regex"),  # so does a back-reference
        ({"pattern": r"(\w{1000}){1000}"}, "regex"),  # too large when compiled
        ({"patternProperties": {"(": True}}, "regex"),
        ({"$ref": "https://example.com/schema"}, "its own parts only"),
        ({"$ref": "file:///etc/passwd"}, "its own parts only"),
        ({"$ref": "other.json"}, "its own parts only"),
        ({"$ref": "#anchor"}, "its own parts only"),
        ({"$ref": 3}, "its own parts only"),
        ({"$ref": "#/$defs/Missing"}, 'has no part "#/$defs/Missing"'),
        ({"$ref": "#/anyOf/7", "anyOf": [True]}, "has no part"),
        ({"enum": ["x" * 1000] * 1000}, "at most 262144 bytes"),
    ],
)
def test_a_wrong_schema_is_refused(schema, says):
    with pytest.raises(InvalidValueError) as refused:
        prepare(schema)

    assert says in str(refused.value)


def test_a_schema_nested_without_end_is_refused():
    schema = {}
    for _ in range(100_000):
        schema = {"items": schema}

    with pytest.raises(InvalidValueError, match="nested"):
        prepare(schema)


def _doubling(count):
    steps = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(count)}
    return {"$ref": "#/$defs/d0", "$defs": {**steps, f"d{count}": {"type": "object"}}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (_doubling(60), {}),
        ({"allOf": [{"properties": {"left": {"$ref": "#"}}}] * 2}, nested(90, value=1)),
        ({"anyOf": [{"properties": {"left": {"$ref": "#"}, "no": False}}] * 2}, nested(90, no=1)),
        ({"$dynamicRef": "#", "unevaluatedProperties": {"$ref": "#"}, "not": {"$ref": "#"}}, nested(90, value=1)),
        ({"properties": {"text": {"pattern": "(a|a)*(a?){50}b$"}}}, {"text": "a" * 1_000_000}),
        (
            {"patternProperties": {f"(a|b)*{i}": {"type": "null"} for i in range(500)}},
            {"ab" * 500 + str(i): 1 for i in range(999)},
        ),
        ({"items": {"uniqueItems": True}}, [[{"a": i} for i in range(20_000)]]),
    ],
)
def test_no_schema_takes_long(schema, value):
    def checks():
        with contextlib.suppress(ShapeError):
            check(prepare(schema), value)

    assert processor_time(checks) < 20 * processor_time(lambda: sum(range(3_000_000)))


def processor_time(call):
    began = time.process_time()
    call()
    return time.process_time() - began


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "ab", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=6,
)
simple = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["null", "boolean", "integer", "string", "array", "object"])}),
    st.fixed_dictionaries({"enum": st.lists(values, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"const": values}),
    st.fixed_dictionaries({"minimum": st.integers(-2, 2)}),
    st.fixed_dictionaries({"maxLength": st.integers(0, 2)}),
    st.fixed_dictionaries({"pattern": st.sampled_from(["^a", "b$"])}),
    st.fixed_dictionaries({"uniqueItems": st.booleans()}),
    st.fixed_dictionaries({"required": st.lists(st.sampled_from(["a", "b"]), unique=True)}),
    st.fixed_dictionaries({"$ref": st.sampled_from(["#", "#/$defs/a", "#/$defs/b"])}),
    st.booleans(),
)


def joined(inner):
    table = st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.fixed_dictionaries(
            {}, optional={"properties": table, "additionalProperties": inner, "propertyNames": inner}
        ),
        st.fixed_dictionaries({"patternProperties": table, "additionalProperties": inner}),
        st.fixed_dictionaries({"items": inner}, optional={"prefixItems": several}),
        *(st.fixed_dictionaries({key: several}) for key in ("anyOf", "allOf", "oneOf")),
        st.fixed_dictionaries({"not": inner, "if": inner, "then": inner, "contains": inner}),
    )


schemas = st.recursive(simple, joined, max_leaves=8).filter(lambda schema: isinstance(schema, dict))


@settings(max_examples=150, deadline=None)
@given(schemas, schemas, schemas, values)
def test_what_fits_the_schema_passes(schema, first, second, value):
    schema = {**schema, "$defs": {"a": first, "b": second}}
    # A chain of references that comes back without going into the value never ends; it has no meaning to compare with.
    try:
        fits = jsonschema_rs.Draft202012Validator(schema).is_valid(value)
    except ValueError:
        fits = False
    prepared = prepare(schema)
    if fits:
        check(prepared, value)


@given(
    st.recursive(
        values,
        lambda inner: st.dictionaries(
            st.sampled_from(
                [
                    "$ref",
                    "type",
                    "anyOf",
                    "properties",
                    "items",
                    "pattern",
                    "enum",
                    "allOf",
                    "oneOf",
                    "patternProperties",
                    "required",
                ]
            ),
            inner | st.just("#"),
            max_size=4,
        ),
        max_leaves=10,
    )
)
def test_any_json_is_prepared_or_refused(schema):
    try:
        prepared = prepare(schema)
    except InvalidValueError:
        return
    json.loads(prepared)
