"""What parameters must look like: a JSON Schema for whoever schedules, and the conversion for the task.

Each kind of annotation is one class with two methods, so that what is promised outside and what is done inside stand
side by side. Conversion is strict: nothing is guessed, no key is dropped, and an error names the place. Pydantic models
bring both themselves. `runner.guest.annotations` makes shapes of annotations.
"""

# ruff: noqa: D102 - the methods are documented by Shape

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol
from uuid import UUID

from runner.errors import ShapeError

Schema = dict[str, Any]


class Definitions:
    """The schemas of records, by name, for `$defs`; two classes of one name get two."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self._names: dict[type, str] = {}

    def name(self, kind: type) -> tuple[str, bool]:
        """What `kind` is called here, and whether it is new."""
        is_new = kind not in self._names
        if is_new:
            plain = "".join(letter for letter in kind.__name__ if letter.isalnum() or letter == "_")
            taken = sum(name.partition(".")[0] == plain for name in self._names.values())
            self._names[kind] = f"{plain}.{taken + 1}" if taken else plain
        return self._names[kind], is_new


class Shape(Protocol):
    """What a value must look like."""

    def schema(self, definitions: Definitions) -> Schema:
        """As JSON Schema (2020-12); what has a name of its own goes into `definitions`."""

    def convert(self, value: Any, place: str) -> Any:
        """The value as the task wants it. Raises `ShapeError` that names the place."""


SCALARS: Mapping[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}

#: What JSON carries as text: the name of its format, and what reads it.
TEXTS: Mapping[Any, tuple[str, Callable[[str], Any]]] = {
    datetime: ("date-time", datetime.fromisoformat),
    date: ("date", date.fromisoformat),
    UUID: ("uuid", UUID),
    Decimal: ("decimal", Decimal),
}


class Anything:
    """Any JSON value."""

    def schema(self, _: Definitions) -> Schema:
        return {}

    def convert(self, value: Any, _: str) -> Any:
        return value


class Scalar:
    """Text, a number, a truth value or null; a whole number is a float too."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def schema(self, _: Definitions) -> Schema:
        return {"type": SCALARS[self._kind]}

    def convert(self, value: Any, place: str) -> Any:
        if type(value) is self._kind:
            return value
        if self._kind is float and type(value) is int:
            try:
                return float(value)
            except OverflowError:
                raise ShapeError(f"{place} is beyond the range of a number") from None
        raise ShapeError(f"{place} must be {_article(SCALARS[self._kind])}, not {_json_type(value)}")

    @property
    def is_null(self) -> bool:
        return self._kind is type(None)


class Text:
    """A value that JSON carries as text, such as a date."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def schema(self, _: Definitions) -> Schema:
        return {"type": "string", "format": TEXTS[self._kind][0]}

    def convert(self, value: Any, place: str) -> Any:
        name, read = TEXTS[self._kind]
        try:
            result = read(value) if isinstance(value, str) else None
        except (ValueError, InvalidOperation):
            result = None
        if result is None or (isinstance(result, Decimal) and not result.is_finite()):
            raise ShapeError(f"{place} must be {_article(name)} as text, not {_json_type(value)} {value!r:.60}")
        if isinstance(result, datetime) and result.tzinfo is None:
            raise ShapeError(f"{place} must end in a time zone, such as Z or +01:00: got {value!r:.60}")
        return result


class OneOfValues:
    """A `Literal` or the values of an enum."""

    def __init__(self, values: dict[str, Any], raw: list[Any]) -> None:
        self._values, self._raw = values, raw

    def schema(self, _: Definitions) -> Schema:
        return {"enum": self._raw}

    def convert(self, value: Any, place: str) -> Any:
        # By type and value: to Python, 1 is True.
        key = f"{type(value).__name__} {value!r}"
        if key not in self._values:
            raise ShapeError(f"{place} must be one of {', '.join(map(repr, self._raw))}: got {value!r:.60}")
        return self._values[key]


class ListOf:
    """An array; a tuple of one kind too."""

    def __init__(self, inside: Shape, make: type = list) -> None:
        self._inside, self._make = inside, make

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "array", "items": self._inside.schema(definitions)}

    def convert(self, value: Any, place: str) -> Any:
        elements = _expect(value, list, place)
        return self._make(self._inside.convert(element, f"{place}[{index}]") for index, element in enumerate(elements))


class TupleOf:
    """An array of so many elements, each of its own kind."""

    def __init__(self, inside: list[Shape]) -> None:
        self._inside = inside

    def schema(self, definitions: Definitions) -> Schema:
        schemas = [shape.schema(definitions) for shape in self._inside]
        return {"type": "array", "prefixItems": schemas, "minItems": len(schemas), "maxItems": len(schemas)}

    def convert(self, value: Any, place: str) -> Any:
        elements = _expect(value, list, place)
        if len(elements) != len(self._inside):
            raise ShapeError(f"{place} must have {len(self._inside)} elements, not {len(elements)}")
        pairs = zip(self._inside, elements, strict=True)
        return tuple(shape.convert(element, f"{place}[{index}]") for index, (shape, element) in enumerate(pairs))


class MapOf:
    """An object of any keys."""

    def __init__(self, inside: Shape) -> None:
        self._inside = inside

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "object", "additionalProperties": self._inside.schema(definitions)}

    def convert(self, value: Any, place: str) -> Any:
        members = _expect(value, dict, place)
        return {key: self._inside.convert(member, at(place, key)) for key, member in members.items()}


class OneOf:
    """A union: the first of its kinds that fits."""

    def __init__(self, choices: list[Shape]) -> None:
        self._choices = choices

    def schema(self, definitions: Definitions) -> Schema:
        return {"anyOf": [choice.schema(definitions) for choice in self._choices]}

    def convert(self, value: Any, place: str) -> Any:
        errors = []
        for choice in self._choices:
            try:
                return choice.convert(value, place)
            except ShapeError as error:
                if not (isinstance(choice, Scalar) and choice.is_null):
                    errors.append(str(error))
        raise ShapeError(errors[0] if len(errors) == 1 else f"{place} is none of its kinds: {'; '.join(errors)}"[:2000])


class Record:
    """A dataclass or a TypedDict: an object of known keys."""

    def __init__(self, kind: type) -> None:
        self._kind, self.members, self.required = kind, dict[str, Shape](), set[str]()

    def schema(self, definitions: Definitions) -> Schema:
        name, is_new = definitions.name(self._kind)
        if is_new:
            schema: Schema = {"title": self._kind.__name__, "type": "object"}
            definitions.schemas[name] = schema  # before its members: one of them may be of its own kind
            schema["properties"] = {key: member.schema(definitions) for key, member in self.members.items()}
            schema["required"] = [key for key in self.members if key in self.required]
            schema["additionalProperties"] = False
        return {"$ref": f"#/$defs/{name}"}

    def convert(self, value: Any, place: str) -> Any:
        given = _expect(value, dict, place)
        for key in given:
            if key not in self.members:
                raise ShapeError(f"{at(place, key)} is not known; known are {', '.join(self.members) or 'none'}")
        for key in self.members:
            if key in self.required and key not in given:
                raise ShapeError(f"{at(place, key)} is missing")
        converted = {key: self.members[key].convert(member, at(place, key)) for key, member in given.items()}
        return converted if issubclass(self._kind, dict) else self._kind(**converted)


class Model:
    """A pydantic model, which converts and describes itself."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def schema(self, definitions: Definitions) -> Schema:
        name, _ = definitions.name(self._kind)
        schema: Schema = self._kind.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
        for inner, its_schema in schema.pop("$defs", {}).items():
            definitions.schemas[f"{name}.{inner}"] = its_schema
        return schema

    def convert(self, value: Any, place: str) -> Any:
        try:
            # As JSON, so that a strict model too takes a date that is written as text.
            return self._kind.model_validate_json(json.dumps(value))
        except sys.modules["pydantic"].ValidationError as error:
            found = [_pydantic_error(one, place) for one in error.errors(include_url=False)[:5]]
            raise ShapeError("; ".join(found)) from None


def _expect(value: Any, kind: type, place: str) -> Any:
    if type(value) is not kind:
        raise ShapeError(f"{place} must be {'an object' if kind is dict else 'an array'}, not {_json_type(value)}")
    return value


def at(place: str, key: str) -> str:
    """The place of a member of an object."""
    return f"{place}[{json.dumps(key[:60])}]"


def _json_type(value: Any) -> str:
    return _article({dict: "object", list: "array", **SCALARS}[type(value)])


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'aeio' else 'a'} {name}" if name != "null" else name


def _pydantic_error(error: Any, place: str) -> str:
    for step in error["loc"]:
        place = f"{place}[{step}]" if isinstance(step, int) else at(place, step)
    return f"{place}: {error['msg']}"
