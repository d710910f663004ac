"""Annotated parameters: the schema that is promised, and the conversion that keeps it."""

from __future__ import annotations

import pytest

_RECORDS = """
from __future__ import annotations
import enum
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Optional, TypedDict
from uuid import UUID
if TYPE_CHECKING:
    from runner import Context

class Colour(enum.Enum):
    RED = "red"
    BLUE = 2

class Extra(TypedDict):
    note: str
    page: NotRequired[int]

@dataclass
class Item:
    name: str
    amount: float = 1.0
    children: list[Item] = field(default_factory=list)

@dataclass
class Order:
    customer: int
    item: Item
    when: datetime | None = None
    day: date | None = None
    colour: Colour = Colour.RED
    kind: Literal["new", 1] = "new"
    id: Optional[UUID] = None
    price: Decimal = Decimal(0)
    pair: tuple[int, str] = (1, "a")
    many: tuple[int, ...] = ()
    extra: Extra | None = None
    labels: dict[str, bool] = field(default_factory=dict)
    anything: Any = None

def run(parameters: Order, context: Context):
    return repr(parameters)
"""


def test_a_dataclass_is_converted_all_the_way_down(guest):
    ended = guest.run(
        _RECORDS,
        {
            "customer": 5,
            "item": {"name": "pen", "amount": 2, "children": [{"name": "cap"}]},
            "when": "2026-01-02T03:04:05Z",
            "day": "2026-01-02",
            "colour": 2,
            "kind": 1,
            "id": "019a0000-0000-7000-8000-000000000000",
            "price": "1.50",
            "pair": [2, "b"],
            "many": [1, 2],
            "extra": {"note": "x"},
            "labels": {"a": True},
            "anything": [{}],
        },
    )

    assert ended.result == (
        "Order(customer=5, item=Item(name='pen', amount=2.0, children=[Item(name='cap', amount=1.0, children=[])]), "
        "when=datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), day=datetime.date(2026, 1, 2), "
        "colour=<Colour.BLUE: 2>, kind=1, id=UUID('019a0000-0000-7000-8000-000000000000'), price=Decimal('1.50'), "
        "pair=(2, 'b'), many=(1, 2), extra={'note': 'x'}, labels={'a': True}, anything=[{}])"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"customer": "5"}, 'parameters["customer"] must be an integer, not a string'),
        ({"customer": True}, 'parameters["customer"] must be an integer, not a boolean'),
        ({"customer": 1.5}, 'parameters["customer"] must be an integer, not a number'),
        ({"item": {}}, 'parameters["item"]["name"] is missing'),
        ({"item": {"name": "a", "x": 1}}, 'parameters["item"]["x"] is not known; known are name, amount, children'),
        ({"item": {"name": "a", "children": [{"name": 1}]}}, 'parameters["item"]["children"][0]["name"] must be a st'),
        ({"item": {"name": "a", "amount": 10**400}}, 'parameters["item"]["amount"] is beyond'),
        ({"when": "2026-01-02T03:04:05"}, 'parameters["when"] must end in a time zone'),
        ({"day": "soon"}, 'parameters["day"] must be a date as text'),
        ({"price": "NaN"}, 'parameters["price"] must be a decimal'),
        ({"colour": "green"}, "parameters[\"colour\"] must be one of 'red', 2: got 'green'"),
        ({"kind": True}, 'parameters["kind"] must be one of'),
        ({"pair": [1]}, 'parameters["pair"] must have 2 elements, not 1'),
        ({"many": [1, "a"]}, 'parameters["many"][1] must be an integer'),
        ({"extra": {}}, 'parameters["extra"]["note"] is missing'),
        ({"labels": {"a": 1}}, 'parameters["labels"]["a"] must be a boolean'),
        ({"labels": []}, 'parameters["labels"] must be an object, not an array'),
    ],
)
def test_what_does_not_fit_is_refused_by_its_place(guest, change, message):
    error = guest.run(_RECORDS, {"customer": 1, "item": {"name": "a"}} | change).error

    assert error["type"] == "ShapeError"
    assert message in error["message"]


def test_the_schema_says_what_the_conversion_does(guest):
    from jsonschema_rs import validator_for

    [task] = guest.discover(_RECORDS).answer["tasks"]
    validator = validator_for(task["schema"])

    assert task["schema"]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert validator.is_valid({"customer": 1, "item": {"name": "a", "children": [{"name": "b"}]}})
    assert validator.is_valid({"customer": 1, "item": {"name": "a"}, "extra": {"note": ""}, "when": None, "kind": 1})
    for wrong in ({}, {"customer": 1}, {"customer": "1", "item": {"name": "a"}}):
        assert not validator.is_valid(wrong)
    item = {"name": "a"}
    for change in ({"x": 1}, {"kind": "old"}, {"pair": [1]}, {"extra": {}}, {"extra": {"note": "", "page": "1"}}):
        assert not validator.is_valid({"customer": 1, "item": item} | change)


def test_a_typed_dict_stays_a_dict(guest):
    ended = guest.run(
        """
        from typing import TypedDict
        class Order(TypedDict, total=False):
            customer: int
        def run(parameters: Order):
            return [type(parameters).__name__, parameters]
        """,
        {"customer": 5},
    )

    assert ended.result == ["dict", {"customer": 5}]


_MODEL = """
from datetime import date
from pydantic import BaseModel, ConfigDict
class Line(BaseModel):
    amount: int
class Order(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    day: date
    lines: list[Line] = []
def run(parameters: Order):
    return repr(parameters)
"""


def test_a_pydantic_model_converts_itself(guest):
    ended = guest.run(_MODEL, {"day": "2026-01-02", "lines": [{"amount": 1}]})

    assert ended.result == "Order(day=datetime.date(2026, 1, 2), lines=[Line(amount=1)])"


def test_a_pydantic_model_refuses_by_place(guest):
    error = guest.run(_MODEL, {"day": "2026-01-02", "lines": [{"amount": "x"}]}).error

    assert error["type"] == "ShapeError"
    assert error["message"].startswith('parameters["lines"][0]["amount"]: Input should be a valid integer')


def test_a_pydantic_model_brings_its_schema(guest):
    from jsonschema_rs import validator_for

    [task] = guest.discover(_MODEL).answer["tasks"]

    assert validator_for(task["schema"]).is_valid({"day": "2026-01-02", "lines": [{"amount": 1}]})
    assert not validator_for(task["schema"]).is_valid({"day": "2026-01-02", "lines": [{"amount": "x"}]})


@pytest.mark.parametrize("annotation", ["dict", "dict[str, Any]", "'dict'", "Any", "object"])
def test_a_plain_annotation_asks_for_nothing(guest, annotation):
    source = f"from typing import Any\ndef run(parameters: {annotation}):\n    return parameters"

    assert guest.run(source, {"a": 1}).result == {"a": 1}
    assert guest.discover().answer["tasks"][0]["schema"] is None


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ("list[int]", "run: parameters are an object"),
        ("dict[str, set]", "run: parameters[] is annotated with set, which JSON has no form for"),
        ("dict[int, str]", "run: parameters is annotated with dict[int, str]"),
        ("'Missing'", "run: the annotation of parameters cannot be resolved: name 'Missing' is not defined"),
    ],
)
def test_an_annotation_that_json_has_no_form_for_is_refused_at_discovery(guest, annotation, message):
    assert message in guest.discover(f"def run(parameters: {annotation}): ...").error["message"]


def test_an_unsupported_field_is_named(guest):
    error = guest.discover(
        """
        from dataclasses import dataclass
        @dataclass
        class Order:
            raw: bytes
        def run(parameters: Order): ...
        """
    ).error

    assert 'run: parameters["raw"] is annotated with bytes' in error["message"]


_DATACLASSES = """
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import Any, ClassVar, Final, Generic, TypeVar
T = TypeVar("T")

@dataclass
class Scale:
    base: int
    factor: InitVar[int]
    shift: InitVar[int | None] = None
    unit: ClassVar[str] = "m"
    length: float = field(init=False, default=0.0)

    def __post_init__(self, factor, shift):
        self.length = self.base * factor + (shift or 0)

@dataclass(frozen=True, slots=True, kw_only=True)
class Strict:
    base: int
    names: list[str] = field(default_factory=list)
    limit: Final[int] = 9

@dataclass
class Named(Scale):
    _: KW_ONLY
    name: str

@dataclass
class Own:
    base: int
    twice: int = 0

    def __init__(self, base: int):
        self.base, self.twice = base, 2 * base

@dataclass
class Counted(Generic[T]):
    count: int

class Child(Own):
    pass

@dataclass
class Loose:
    factor: InitVar

    def __post_init__(self, factor):
        self.factor = factor

def run(parameters: KIND):
    return [type(parameters).__name__, *(getattr(parameters, name, None) for name in ("base", "length", "names",
            "name", "twice", "limit", "count", "factor"))]
"""


@pytest.mark.parametrize("text", ["", "from __future__ import annotations\n"], ids=["plain", "as-text"])
@pytest.mark.parametrize(
    ("kind", "parameters", "result"),
    [
        ("Scale", {"base": 2, "factor": 5}, ["Scale", 2, 10, None, None, None, None, None, None]),
        ("Scale", {"base": 2, "factor": 5, "shift": 1}, ["Scale", 2, 11, None, None, None, None, None, None]),
        ("Strict", {"base": 1, "names": ["a"]}, ["Strict", 1, None, ["a"], None, None, 9, None, None]),
        ("Named", {"base": 2, "factor": 3, "name": "n"}, ["Named", 2, 6, None, "n", None, None, None, None]),
        ("Own", {"base": 3}, ["Own", 3, None, None, None, 6, None, None, None]),
        ("Child", {"base": 3}, ["Child", 3, None, None, None, 6, None, None, None]),
        ("Counted", {"count": 3}, ["Counted", None, None, None, None, None, None, 3, None]),
        ("Loose", {"factor": [1]}, ["Loose", None, None, None, None, None, None, None, [1]]),
    ],
)
def test_a_dataclass_of_every_make_is_taken_as_its_init_takes_it(guest, text, kind, parameters, result):
    source = text + _DATACLASSES.replace("KIND", kind)

    assert guest.run(source, parameters).result == result
    [task] = guest.discover(source).answer["tasks"]
    schema = task["schema"]["$defs"][kind]
    assert set(schema["required"]) <= set(parameters) <= set(schema["properties"])
    assert not {"unit", "length"} & set(schema["properties"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("    def __init__(self, text):\n        self.base = int(text)", "missing a required argument: 'text'"),
        ("    def __init__(self, base, /):\n        self.base = base", "positional only"),
    ],
    ids=["other-name", "by-place"],
)
def test_a_dataclass_that_its_fields_cannot_make_is_refused_at_load(guest, text, says):
    source = f"""
from dataclasses import dataclass

@dataclass
class Own:
    base: int

{text}

def run(parameters: Own):
    pass
"""
    error = guest.discover(source).error

    assert "Own cannot be made of its fields by name" in error["message"]
    assert says in error["message"].replace("-", " ")
