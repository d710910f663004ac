"""From the annotation of a task's first argument to the shape that its parameters must have."""

from __future__ import annotations

import enum
import inspect
import types
import typing
from dataclasses import InitVar, is_dataclass
from typing import Any

from runner.errors import InvalidError
from runner.guest.shapes import (
    SCALARS,
    TEXTS,
    Anything,
    ListOf,
    MapOf,
    Model,
    OneOf,
    OneOfValues,
    Record,
    Scalar,
    Shape,
    Text,
    TupleOf,
    at,
)


def shape_of(annotation: Any, function: str) -> Shape:
    """The shape that the parameters of `function` are annotated with.

    Raises:
        InvalidError: parameters cannot be that: they are an object, of what JSON can carry.
    """
    shape = _Reader(function).read(annotation, "parameters")
    if not isinstance(shape, Record | Model | MapOf):
        raise InvalidError(
            f"{function}: parameters are an object; annotate them with a dataclass, a TypedDict, a pydantic model "
            f"or dict, not {_named(annotation)}"
        )
    return shape


class _Reader:
    """Reads one annotation; knows the records it has met, so that a record may contain its own kind."""

    def __init__(self, function: str) -> None:
        self._function = function
        self._records: dict[type, Record] = {}

    def read(self, annotation: Any, place: str) -> Shape:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if annotation is None:
            annotation = type(None)
        if annotation in (Any, object):
            return Anything()
        if annotation in SCALARS:
            return Scalar(annotation)
        if annotation in TEXTS:
            return Text(annotation)
        if annotation in (list, dict, tuple):
            arguments = {list: (Any,), dict: (str, Any), tuple: (Any, ...)}[annotation]
            origin = annotation
        match origin:
            case typing.Annotated:
                return self.read(arguments[0], place)
            case typing.Union | types.UnionType:
                return OneOf([self.read(argument, place) for argument in arguments])
            case typing.Literal:
                return OneOfValues({f"{type(one).__name__} {one!r}": one for one in arguments}, list(arguments))
        if origin is list:
            return ListOf(self.read(arguments[0], f"{place}[]"))
        if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
            return ListOf(self.read(arguments[0], f"{place}[]"), tuple)
        if origin is tuple:
            return TupleOf([self.read(argument, f"{place}[]") for argument in arguments])
        if origin is dict and arguments[0] is str:
            return MapOf(self.read(arguments[1], f"{place}[]"))
        return self._read_class(annotation, place)

    def _read_class(self, annotation: Any, place: str) -> Shape:
        if isinstance(annotation, type):
            if hasattr(annotation, "model_json_schema") and hasattr(annotation, "model_validate_json"):
                return Model(annotation)
            if issubclass(annotation, enum.Enum):
                values = {f"{type(one.value).__name__} {one.value!r}": one for one in annotation}
                raw = [one.value for one in annotation]
                if all(type(value) in SCALARS for value in raw):
                    return OneOfValues(values, raw)
            if is_dataclass(annotation) or typing.is_typeddict(annotation):
                return self._read_record(annotation, place)
        raise InvalidError(
            f"{self._function}: {place} is annotated with {_named(annotation)}, which JSON has no form for; use str, "
            "int, float, bool, None, list, dict[str, ...], tuple, Literal, an enum, datetime, date, UUID, Decimal, "
            "a dataclass, a TypedDict or a pydantic model"
        )

    def _read_record(self, kind: type, place: str) -> Record:
        if kind in self._records:
            return self._records[kind]
        self._records[kind] = record = Record(kind)
        try:
            hints = typing.get_type_hints(kind, include_extras=True)
        except (NameError, AttributeError, TypeError) as error:
            raise InvalidError(f"{self._function}: {_named(kind)} cannot be resolved: {error}") from None
        if is_dataclass(kind):
            for name, is_required in self._arguments(kind).items():
                record.members[name] = self.read(_plain(hints[name]), at(place, name))
                if is_required:
                    record.required.add(name)
            return record
        for key, hint in hints.items():
            required = key in kind.__required_keys__  # type: ignore[attr-defined]
            # Where annotations are text, `__required_keys__` does not see what stands within them.
            while (mark := typing.get_origin(hint)) in (typing.Required, typing.NotRequired):
                required, hint = mark is typing.Required, typing.get_args(hint)[0]  # noqa: PLW2901
            record.members[key] = self.read(hint, at(place, key))
            if required:
                record.required.add(key)
        return record

    def _arguments(self, kind: Any) -> dict[str, bool]:
        """The fields that a dataclass is made of, by name, and whether each has to be given.

        Those that only `__post_init__` sees are among them; class variables and `field(init=False)` are not.
        """
        parameters = inspect.signature(kind).parameters
        known = [name for name in kind.__dataclass_fields__ if name in parameters]
        try:
            inspect.signature(kind).bind(**dict.fromkeys(known))
        except TypeError as error:
            raise InvalidError(
                f"{self._function}: {_named(kind)} cannot be made of its fields by name: {error}; let `@dataclass` "
                "write its __init__, or give it one that takes them"
            ) from None
        return {name: parameters[name].default is inspect.Parameter.empty for name in known}


def _plain(hint: Any) -> Any:
    """What an argument is, whatever becomes of it: kept, for `__post_init__` alone, or never changed."""
    if hint is InitVar:
        return Any
    if isinstance(hint, InitVar):
        return hint.type
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Final else hint


def _named(annotation: Any) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)[:200]
