"""Work without a bound, done in parts: each is an operation of its own, so that others get their turn between them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

#: How many runs, queues or lanes are changed in one part.
AT_ONCE = 200


async def do_in_parts(part: Callable[[int], Awaitable[int]], *, most: int | None = None, at_once: int = AT_ONCE) -> int:
    """Call `part` until it does less than it was asked for, or `most` is done; how much was done in all."""
    done = 0
    while most is None or done < most:
        asked = at_once if most is None else min(at_once, most - done)
        count = await part(asked)
        done += count
        if count < asked:
            break
    return done
