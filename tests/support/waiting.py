"""Waiting for something to become true, within a bound; never a bare sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_PERIOD_S = 0.01


def eventually(condition: Callable[[], object], within_s: float = 30.0) -> object:
    """Poll until `condition` gives something true, and return that; fail after `within_s` seconds."""
    until = time.monotonic() + within_s
    while not (value := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {within_s:g} s: {getattr(condition, '__doc__', None) or condition}")
        time.sleep(_PERIOD_S)
    return value


async def eventually_async(condition: Callable[[], object], within_s: float = 30.0) -> object:
    """The same on an event loop; `condition` may be async."""
    until = time.monotonic() + within_s
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"not within {within_s:g} s: {getattr(condition, '__doc__', None) or condition}")
        await asyncio.sleep(_PERIOD_S)
