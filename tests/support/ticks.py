"""A task that leaves a trace of when it ran, and a check of the traces: did two attempts of a queue ever overlap?

The task holds its queue's file lock while it runs and writes, in a folder that all nodes mount, when it began and
ended. An attempt that is killed leaves no end, but its lock and its beginning are seen.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

#: Works for `work_s` seconds of its parameters, 5 ms unless said.
TICK = """
import fcntl, os, time

def run(parameters, context):
    ticks = os.open(f"/ticks/{context.queue}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    lock = os.open(f"/ticks/{context.queue}.lock", os.O_WRONLY | os.O_CREAT, 0o644)

    def tick(what):
        os.write(ticks, f"{context.run} {context.attempt} {what}\\n".encode())

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tick("overlap")
        raise
    tick("begin")
    until = time.monotonic() + parameters.get("work_s", 0.005)
    while time.monotonic() < until:
        pass
    tick("end")
"""

MOUNT = """
[[mounts]]
source = {ticks!r}
target = "/ticks"
writable = true
"""


class Ticks:
    """What the ticking tasks left in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ends(self) -> int:
        """How many attempts have ended by themselves so far."""
        return sum(path.read_text().count(" end\n") for path in self._files())

    def check(self, *, queues: int, runs: int) -> int:
        """No two attempts overlapped in any queue, and each of the runs ended; how many attempts began."""
        files = self._files()
        assert len(files) == queues
        begins, ended = 0, Counter[str]()
        for path in files:
            current: tuple[str, str] | None = None
            for line in path.read_text().splitlines():
                run, attempt, what = line.split()
                assert what != "overlap", f"{path.name}: {line}"
                if what == "begin":
                    # One that was killed never ends; but none that is alive may still be inside.
                    current, begins = (run, attempt), begins + 1
                else:
                    assert current == (run, attempt), f"{path.name}: {line} ended inside another"
                    ended[run] += 1
        assert len(ended) == runs
        return begins

    def _files(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if path.suffix != ".lock"]
