"""Calls foreign code, and hands over what it printed and logged before it is answered for."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any


def call(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """The result of the call, awaited where that is what it wants; raises what the function raises."""
    result = function(*arguments, **keywords)
    return _run(result) if hasattr(type(result), "__await__") else result


def _run(awaitable: Awaitable[Any]) -> Any:
    import asyncio  # noqa: PLC0415 - its import alone takes longer than most functions

    class Loop(asyncio.SelectorEventLoop):
        async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
            """Do nothing: a thread that never ends must not hold back the answer."""

    async def until_done() -> Any:
        return await awaitable

    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(until_done())


def hand_over() -> None:
    """Hand over what was printed and logged, for good: handlers of `logging` are closed."""
    logging = sys.modules.get("logging")
    _try(getattr(logging, "shutdown", None))
    flush_streams()


def flush_streams() -> None:
    """Hand over what was printed."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        _try(getattr(stream, "flush", None))


def _try(flush: Callable[[], object] | None) -> None:
    try:
        if flush is not None:
            flush()
    except BaseException:
        pass  # closed or replaced by foreign code, or nobody reads any more
