"""What a task is called with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any

from runner.guest.signature import count_arguments, parameters_type, unwrap

if TYPE_CHECKING:
    from runner.guest.shapes import Shape  # whose import most tasks do without


def arguments(function: Callable[..., Any], parameters: dict[str, Any], context: dict[str, Any]) -> list[Any]:
    """What to call `function` with.

    Raises:
        InvalidError: (one of its kinds) it cannot be called so, or the parameters do not fit; names the place.
    """
    count, shape = convention(unwrap(function))
    given: list[Any] = []
    if count > 0:
        given.append(parameters if shape is None else shape.convert(parameters, "parameters"))
    if count > 1:
        from runner.sdk.context import Context  # noqa: PLC0415 - where nobody asks for it, nobody pays

        given.append(Context(context))
    return given


@cache
def convention(function: FunctionType) -> tuple[int, Shape | None]:
    """How many arguments it takes, and the shape of its parameters, `None` where it takes any; raises `InvalidError`.

    Looked up once in the process that attempts are forked from.
    """
    count = count_arguments(function)
    kind = parameters_type(function) if count else None
    if kind is None:
        return count, None
    from runner.guest.annotations import shape_of  # noqa: PLC0415 - most tasks take a plain dict

    return count, shape_of(kind, function.__qualname__)
