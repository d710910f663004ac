"""Every test leaves the machine as it found it: no process and no descriptor of ours remains."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.waiting import eventually


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    descriptors, children = _descriptors(), _children()
    yield
    gc.collect()
    eventually(lambda: not _children() - children, within_s=5)
    left = {number: target for number, target in _descriptors().items() if number not in descriptors}
    assert not left, f"descriptors were left open: {left}"


def _children() -> set[int]:
    """The processes below this one, dead ones that nobody reaped too."""
    return {process.pid for process in psutil.Process().children(recursive=True)}


def _descriptors() -> dict[int, str]:
    found = {}
    for path in Path("/proc/self/fd").iterdir():
        try:
            found[int(path.name)] = str(path.readlink())
        except FileNotFoundError:  # the one that lists
            continue
    return found
