"""How a task wants to be called: with nothing, with its parameters, or with its parameters and the context.

Read from the code object: importing `inspect` costs more than most tasks take.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from runner.errors import InvalidError

_VARARGS = 0x04
_GENERATORS = {0x20: "a generator", 0x200: "an async generator"}
_COROUTINE = 0x80

#: Annotations that ask for nothing; text, where the module has `from __future__ import annotations`.
_PLAIN = (dict, dict[str, Any], Any, object, "dict", "dict[str, Any]", "Any", "object")


def count_arguments(function: Callable[..., Any]) -> int:
    """How many arguments a task takes: 0, 1 or 2.

    Raises:
        InvalidError: it cannot be called so; names the function.
    """
    inner = unwrap(function)
    code, name = inner.__code__, inner.__qualname__
    for bit, what in _GENERATORS.items():
        if code.co_flags & bit:
            raise InvalidError(f"{name} is {what} (it says yield); a task returns its result")
    if code.co_flags & _VARARGS:
        raise InvalidError(f"{name} takes *arguments; a task takes none, (parameters) or (parameters, context)")
    required = code.co_argcount - len(inner.__defaults__ or ())
    needed = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    missing = [keyword for keyword in needed if keyword not in (inner.__kwdefaults__ or {})]
    if required > 2 or missing:
        extra = list(code.co_varnames[2 : code.co_argcount]) if required > 2 else missing
        raise InvalidError(
            f"{name} needs {', '.join(extra)} too; a task takes none, (parameters) or (parameters, context)"
        )
    return min(code.co_argcount, 2)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether it was written `async def`."""
    return bool(unwrap(function).__code__.co_flags & _COROUTINE)


def parameters_type(function: Callable[..., Any]) -> Any:
    """What its first argument is annotated with, `None` where that asks for nothing; text is resolved.

    Raises:
        InvalidError: the annotation names what does not exist.
    """
    inner = unwrap(function)
    first = inner.__code__.co_varnames[0]
    annotation = inner.__annotations__.get(first)
    if annotation is None or annotation in _PLAIN:
        return None
    from typing import get_type_hints  # noqa: PLC0415 - only where there is something to resolve

    def alone() -> None: ...

    # Alone, since another annotation may name what is imported for type checkers only.
    alone.__annotations__ = {first: annotation}
    try:
        resolved = get_type_hints(alone, inner.__globals__)[first]
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise InvalidError(f"{inner.__qualname__}: the annotation of {first} cannot be resolved: {error}") from None
    return None if resolved in _PLAIN else resolved


def unwrap(function: Callable[..., Any]) -> FunctionType:
    """The function that was written, below decorators that name what they wrap."""
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        function = inner
    if not isinstance(function, FunctionType):
        raise InvalidError(f"a task must be a function: got {function!r:.80}")
    return function
