"""Sees to it that what a task logs reaches its log, without importing `logging` for tasks that do not.

It is done before the task's file is imported, also where that is for attempts to be forked: so the file finds `logging`
the same whichever way its attempt starts, and what it changes there stays.
"""

from __future__ import annotations

import functools
from types import ModuleType

from runner.guest.on_import import after_import


@functools.cache
def watch() -> None:
    """Send log records to the runner from when `logging` is there, which may be now; once is enough."""
    after_import("logging", _attach)


def _attach(_: ModuleType) -> None:
    from runner.guest.loghandler import attach  # noqa: PLC0415 - imports logging

    attach()
