"""The process as task code finds it."""

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
