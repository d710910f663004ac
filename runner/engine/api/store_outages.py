"""Waits out a short outage of the store for a caller, and no longer than it was told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from runner.backoff import pauses
from runner.engine.parts import Parts
from runner.errors import StoreUnavailableError

T = TypeVar("T")

_DELAY_S = (0.05, 1.0)  # first and longest pause between two tries


async def patiently(parts: Parts, call: Callable[[], Awaitable[T]]) -> T:
    """What `call` gives, tried again while the store cannot be reached; it must do no harm when it is repeated.

    Raises:
        StoreUnavailableError: the last one, once the config's `store_patience` is over.
    """
    loop = asyncio.get_running_loop()
    within_s, retries = parts.settings.runner.store_patience_s, pauses(*_DELAY_S)
    until = loop.time() + within_s
    while True:
        try:
            # An embedded store is slow now and then, and never silent.
            async with asyncio.timeout_at(until if parts.store.is_shared else None):
                return await call()
        except TimeoutError:
            raise StoreUnavailableError(
                f"the store did not answer within {within_s:g} s; what was asked may still be done"
            ) from None
        except StoreUnavailableError:
            pause_s = next(retries)
            if loop.time() + pause_s >= until:
                raise
        await asyncio.sleep(pause_s)
