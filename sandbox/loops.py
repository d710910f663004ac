"""The event loop of whoever serves attempts: one that they cannot use up.

Watches of epoll are counted by user on the whole host, and the attempts of an ordinary user's runner have the runner's
user: one of them can take all that there are, and then no socket can be added to an epoll of that user. `poll` keeps
nothing in the kernel. Under root, attempts have users of their own, or no epoll (level restricted).
"""

from __future__ import annotations

import asyncio
import os
import selectors


def new_event_loop() -> asyncio.AbstractEventLoop:
    """To be given to `asyncio.Runner` as `loop_factory`."""
    if os.geteuid() == 0:
        return asyncio.new_event_loop()
    return asyncio.SelectorEventLoop(selectors.PollSelector())
