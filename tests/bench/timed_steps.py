"""Times the steps of a confinement from outside: preloaded in a launcher, it puts a timed list in place of every one.

What the supervisor measured is inherited by the task, whose entry `report` sends all of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from sandbox.inner.attempt import Attempt, Step
from sandbox.protocol.channel import Channel

#: Name, begin and end of each step so far, by the machine's monotonic clock.
spans: list[tuple[str, float, float]] = []


def _timed(step: Step) -> Step:
    def do(attempt: Attempt, do: Callable[[Attempt], None] = step.do) -> None:
        begin = time.monotonic()
        do(attempt)
        spans.append((step.name, begin, time.monotonic()))

    return step._replace(do=do)


def report(channel: Channel) -> None:
    """The entry of an attempt that tells how long its steps took."""
    channel.send({"spans": spans, "entered": time.monotonic()})


def _is_steps(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(each, Step) for each in value)


for _name, _module in list(sys.modules.items()):
    if _name.startswith("sandbox."):
        for _attribute, _value in list(vars(_module).items()):
            if _is_steps(_value):
                setattr(_module, _attribute, tuple(map(_timed, _value)))
