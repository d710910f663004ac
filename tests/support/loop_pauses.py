"""How long a running event loop stood still, with what the machine itself was late subtracted.

A callback comes back every few milliseconds; how late it is, is how long the loop did something else, or did not run
at all. A second process does nothing but sleep as long, again and again: how late that one was at the same time, is
the machine's doing. What no core was free for is seen from inside as well, by the processor time of the thread: a
pause cannot have been longer than what the thread, or others that held the interpreter meanwhile, computed in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from operator import itemgetter

_PERIOD_S = 0.002
#: Tells for each sleep that was late by more than a millisecond when it should have ended and how late it was.
_BYSTANDER = f"""
import sys, time
print("ready", flush=True)
late = []
import select
while not select.select([sys.stdin], [], [], 0)[0]:
    due = time.monotonic() + {_PERIOD_S}
    time.sleep({_PERIOD_S})
    by = time.monotonic() - due
    if by > 0.001:
        late.append((due, by))
for due, by in late:
    print(due, by)
"""


@dataclass
class Pauses:
    """The pauses of one loop while it was watched.

    Attributes:
        longest_s: the longest that was not the machine's, in seconds; known at the end.
    """

    longest_s: float = 0.0
    _seen: list[tuple[float, float, float]] = field(default_factory=list)  # when due, how late, computed meanwhile

    def _judge(self, noise: list[tuple[float, float]]) -> None:
        for due, late, computed in sorted(self._seen, key=itemgetter(1), reverse=True)[:1000]:
            machine = sum(max(0.0, min(due + late, at + by) - max(due, at)) for at, by in noise)
            self.longest_s = max(self.longest_s, min(late - machine, computed))


@contextlib.asynccontextmanager
async def watched_loop() -> AsyncIterator[Pauses]:
    """Watch the running loop for as long as the block lasts."""
    pauses = Pauses()
    bystander = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _BYSTANDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert bystander.stdout is not None
    await bystander.stdout.readline()
    gc.collect()
    gc.freeze()  # as `serve` does; here it is all that the tests have loaded, too
    watching = asyncio.create_task(_watch(pauses))
    try:
        yield pauses
    finally:
        watching.cancel()
        gc.unfreeze()
        told, _ = await bystander.communicate(b"\n")
        lines = [line.split() for line in told.decode().splitlines()]
        pauses._judge([(float(due), float(by)) for due, by in lines])


async def _watch(pauses: Pauses) -> None:
    while True:
        due, computed = time.monotonic() + _PERIOD_S, time.process_time()
        await asyncio.sleep(_PERIOD_S)
        late = time.monotonic() - due
        if late > 0.001:
            pauses._seen.append((due, late, time.process_time() - computed))
