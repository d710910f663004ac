"""The task's own process: does its steps of confinement, then runs what the spec names.

It ends by `os._exit`. Nothing waits for threads after the entry has returned, and no exit handler may run of the
launcher, of which this process is a fork. Exit codes are Python's: 0 when the entry returned, 1 with a traceback on
stderr when it raised or could not be imported, and `SystemExit`'s own.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn

from sandbox.errors import SetupError
from sandbox.inner.attempt import CHANNEL_DESCRIPTOR, Attempt, Step, carry_out
from sandbox.inner.calling import flush_streams
from sandbox.protocol.channel import Channel


def become_task(attempt: Attempt, steps: Sequence[Step]) -> NoReturn:
    """Confine the caller by `steps`, report "ready" on the control socket, and run the entry."""
    try:
        carry_out(steps, attempt)
    except SetupError as error:
        report_failure(attempt.control, error)
        os._exit(1)
    os.write(attempt.control, b'{"ready":true}')
    os.close(attempt.control)
    os._exit(run(attempt.spec.entry, Channel(socket.socket(fileno=CHANNEL_DESCRIPTOR))))


def report_failure(control: int, error: SetupError) -> None:
    """Report to the runner which step failed."""
    try:
        os.write(control, json.dumps(error.to_document()).encode())
    except OSError:
        pass  # the runner is gone, and this attempt ends too


def run(entry: str, channel: Channel) -> int:
    """Call what the spec names; returns the exit code."""
    try:
        look_up(entry)(channel)
        code = 0
    except SystemExit as error:
        code = _code_of(error)
    except BaseException:
        sys.__excepthook__(*sys.exc_info())
        code = 1
    flush_streams()
    return code


@functools.cache
def look_up(entry: str) -> Callable[[Channel], object]:
    """The function that an entry names. Raises what its import raises, and `AttributeError`."""
    module, _, function = entry.partition(":")
    return getattr(import_module(module), function)  # type: ignore[no-any-return] # what the spec names: anything


def _code_of(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    try:
        print(error.code, file=sys.stderr)
    except Exception:
        pass
    return 1
