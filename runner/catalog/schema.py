"""Checks parameters against the JSON Schema of a task. The schema comes from task code, and is hostile.

What the runner checks is a plain copy: references are unrolled, and only keywords are kept whose cost is the size of
the schema times the size of the value, whatever both hold; where that product is large, nothing is checked here, since
nothing else of the runner goes on meanwhile. What is left out (that, recursion below its first turn, `not`, formats,
all that lies beyond the size limits) is left to the task's own process, which converts its parameters anyway.
Each thing left out makes the copy accept more, never less: `oneOf` becomes `anyOf` for that reason. Patterns
are matched in linear time; one that needs backtracking is refused, and so is a reference to elsewhere: nothing is ever
fetched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from runner.domain.checks import shown
from runner.errors import InvalidValueError, ShapeError

_MOST_BYTES = 256 << 10  # of a schema, and of its copy about
_DEEPEST = 64
_NODE_COST = 32
_PATTERN_COST = 16 << 10
_PATTERN_BYTES = 256 << 10  # a compiled one
#: Of the size of a schema times that of a value, in bytes each: what takes some 50 ms at worst.
_MOST_WORK = 400_000_000
#: Of a value: to hand it over takes time as well.
_MOST_VALUE_BYTES = 1 << 20
_LONGEST_MESSAGE = 300
#: Compiled schemas that are kept; more tasks than this in use at once only cost time.
_KEPT = 128

_VALUES = (
    "type", "enum", "const", "required", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "pattern", "minItems", "maxItems", "minProperties", "maxProperties", "dependentRequired",
)  # fmt: skip
_SCHEMAS = ("additionalProperties", "items", "propertyNames")
_TABLES = ("properties", "patternProperties")
_LISTS = ("anyOf", "allOf", "prefixItems")


def prepare(schema: object) -> str:
    """The plain copy of a schema, as JSON; `check` takes it.

    Raises:
        InvalidValueError: no schema, too large, refers to elsewhere, or has a pattern that cannot be matched in
            linear time.
    """
    if not isinstance(schema, Mapping):
        raise InvalidValueError(f"a schema must be an object: got {shown(schema)}")
    try:
        size, prepared = len(json.dumps(schema)), json.dumps(_Unrolling(schema).copy(schema, depth=0, inside=()))
        if size <= _MOST_BYTES:
            _compile(prepared)
            return prepared
    except RecursionError:
        raise InvalidValueError("a schema may not be nested that deeply") from None
    except InvalidValueError:
        raise
    except (ValidationError, ValueError) as error:
        reason = error.message if isinstance(error, ValidationError) else str(error)
        raise InvalidValueError(f"the schema of the parameters is no JSON Schema: {_cut(reason)}") from None
    raise InvalidValueError(f"a schema may have at most {_MOST_BYTES} bytes: got {size}")


def is_quick(prepared: str, value_bytes: int) -> bool:
    """Whether `check` of a value of so many bytes of JSON takes no time that anybody else would notice."""
    return value_bytes <= _MOST_VALUE_BYTES and len(prepared) * value_bytes <= _MOST_WORK


def check(prepared: str, value: object, name: str = "parameters") -> None:
    """Check a value; `name` is what it is called in the error.

    Raises:
        ShapeError: it does not fit; names the place in it.
    """
    try:
        _validator(prepared).validate(value)
    except ValidationError as error:
        place = name + "".join(f"[{json.dumps(part)}]" for part in error.instance_path)
        raise ShapeError(f"{_cut(place)}: {_cut(error.message)}") from None


class _Unrolling:
    """One schema being copied, within a budget that all its parts share."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = _MOST_BYTES

    def copy(self, schema: object, *, depth: int, inside: tuple[str, ...]) -> Any:
        """The copy; `inside` names the references within which it stands."""
        if not isinstance(schema, Mapping):
            return schema  # true, false, or what compiling refuses
        plain = {key: schema[key] for key in _VALUES if key in schema}
        table = schema.get("patternProperties")
        patterns = ("pattern" in schema) + (len(table) if isinstance(table, Mapping) else 0)
        self._left -= _NODE_COST + len(json.dumps(plain)) + _PATTERN_COST * patterns
        if depth > _DEEPEST or self._left < 0:
            return True

        def below(part: object) -> Any:
            return self.copy(part, depth=depth + 1, inside=inside)

        plain |= {key: below(schema[key]) for key in _SCHEMAS if key in schema}
        for key in _TABLES:
            if key in schema:
                table = schema[key]
                plain[key] = (
                    {name: below(part) for name, part in table.items()} if isinstance(table, Mapping) else table
                )
        for key in _LISTS:
            if key in schema:
                parts = schema[key]
                plain[key] = [below(part) for part in parts] if isinstance(parts, list) else parts
        joined = []
        if "oneOf" in schema:
            joined.append(below({"anyOf": schema["oneOf"]}))
        if "$ref" in schema and (reference := schema["$ref"]) not in inside:
            joined.append(self.copy(self._find(reference), depth=depth + 1, inside=(*inside, reference)))
        if joined and isinstance(plain.setdefault("allOf", []), list):
            plain["allOf"] = plain["allOf"] + joined
        return plain

    def _find(self, reference: object) -> object:
        """What a reference within the schema refers to."""
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise InvalidValueError(
                f'a schema may refer to its own parts only, such as "#/$defs/Invoice": got {shown(reference)}'
            )
        part: Any = self._root
        for step in reference.split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(part, list) and key.isascii() and key.isdigit() and int(key[:9]) < len(part):
                part = part[int(key[:9])]
            elif isinstance(part, Mapping) and key in part:
                part = part[key]
            else:
                raise InvalidValueError(f"the schema has no part {shown(reference)}, which it refers to")
        return part


def _compile(prepared: str) -> Draft202012Validator:
    return Draft202012Validator(
        json.loads(prepared),
        pattern_options=RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES),
        validate_formats=False,
        offline=True,
    )


_validator = lru_cache(maxsize=_KEPT)(_compile)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + "…"
