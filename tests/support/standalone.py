"""What the tests of stand-alone use share."""

from __future__ import annotations

from pathlib import Path

from support.waiting import eventually_async

JOBS = str(Path(__file__).parents[1] / "sandbox" / "inside" / "jobs.py")


def job(name):
    """The reference to a function of `inside/jobs.py`."""
    return f"{JOBS}:{name}"


def is_waiting(sandbox):
    """For an answer, so it has launched."""
    return any(launch.confined._stream._reading for launch in list(sandbox._live._live.values()))


async def until_one_runs(sandbox):
    await eventually_async(lambda: is_waiting(sandbox))
