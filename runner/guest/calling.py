"""Calls a task with what it takes, and awaits it where that is what it wants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from runner.guest.signature import count_arguments, parameters_type


def arguments(function: Callable[..., Any], parameters: dict[str, Any], context: dict[str, Any]) -> list[Any]:
    """What to call `function` with.

    Raises:
        InvalidError: (one of its kinds) it cannot be called so, or the parameters do not fit; names the place.
    """
    count = count_arguments(function)
    given: list[Any] = []
    if count > 0:
        kind = parameters_type(function)
        if kind is not None:
            from runner.guest.annotations import shape_of  # noqa: PLC0415 - most tasks take a plain dict

            parameters = shape_of(kind, function.__qualname__).convert(parameters, "parameters")
        given.append(parameters)
    if count > 1:
        from runner.sdk.context import Context  # noqa: PLC0415 - where nobody asks for it, nobody pays

        given.append(Context(context))
    return given


def call(function: Callable[..., Any], given: list[Any]) -> Any:
    """The result of the call; raises what the task raises."""
    result = function(*given)
    return _run(result) if hasattr(type(result), "__await__") else result


def _run(awaitable: Awaitable[Any]) -> Any:
    import asyncio  # noqa: PLC0415 - its import alone takes longer than most tasks

    class Loop(asyncio.SelectorEventLoop):
        async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
            """Do nothing: a thread that never ends must not hold back the response."""

    async def until_done() -> Any:
        return await awaitable

    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(until_done())
