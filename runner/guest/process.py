"""The process as task code finds it, and what it hands over at its end."""

from __future__ import annotations

import faulthandler
import functools
import sys
from types import ModuleType


@functools.cache
def prepare(module: str) -> None:
    """Make this process look like one that was started for `module`, if it does not yet."""
    faulthandler.enable()  # a segmentation fault shows in the log where it happened
    sys.argv = [f"tasks.{module}"]
    # The launcher's own would be found by pickle, and run again by processes that multiprocessing spawns.
    sys.modules["__main__"] = ModuleType("__main__")


def flush() -> None:
    """Hand over what the task printed and logged, as far as it left the means to."""
    logging = sys.modules.get("logging")
    streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    for hand_over in (getattr(logging, "shutdown", None), *(getattr(stream, "flush", None) for stream in streams)):
        try:
            if hand_over is not None:
                hand_over()
        except BaseException:
            pass  # closed or replaced by the task
