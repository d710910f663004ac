"""The event loop of a process that serves attempts: it needs nothing that attempts can use up.

The kernel counts epoll watches by user on the whole host, and the attempts of an ordinary user's runner have the
runner's user: one of them can use them all up, and then that user can add no socket to an epoll. `poll` keeps nothing
in the kernel. Under root, attempts have users of their own, or no epoll (level restricted).
"""

from __future__ import annotations

import asyncio
import os
import selectors


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The `loop_factory` for `asyncio.Runner`."""
    if os.geteuid() == 0:
        return asyncio.new_event_loop()
    return asyncio.SelectorEventLoop(selectors.PollSelector())
