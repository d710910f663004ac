"""Which level this host allows: found out by running a throwaway attempt, with the same steps as any other.

A kernel may allow a namespace and refuse the mount in it (Ubuntu's AppArmor does), so only a whole attempt tells.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sandbox.errors import SetupError
from sandbox.protocol.channel import Channel
from sandbox.spec import Level

ENTRY = "sandbox.host.probe:do_nothing"


def do_nothing(_: Channel) -> None:
    """The task of a throwaway attempt."""


async def strongest(attempt: Callable[[Level], Awaitable[str]], demanded: Level | None) -> tuple[Level, str]:
    """The level to use, and in one line which walls stand at it and, if it is not the strongest, why.

    Args:
        attempt: runs a throwaway attempt at a level; returns its walls.
        demanded: the only level to try; `None` for the strongest.

    Raises:
        SetupError: the level that is demanded, or every level, is not available; names the failing step.
    """
    refused = ""
    for level in Level if demanded is None else (demanded,):
        try:
            return level, await attempt(level) + refused
        except SetupError as error:
            if level is (demanded or Level.BASIC):
                raise
            refused += f"; not {level}: {error}"
    raise AssertionError("the loop returns or raises")
