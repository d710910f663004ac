"""What "auto" means here: how many attempts at once, and in how much memory."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_FEWEST = 4
_LEAST_BYTES = 16 << 20


def concurrency() -> int:
    """Twice the cores that the runner may use, 4 at least: most tasks wait most of the time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(_FEWEST, 2 * cores)


def memory_bytes() -> int:
    """Three quarters of the machine's memory, or of what the runner's cgroups leave it; in whole megabytes."""
    total = min([psutil.virtual_memory().total, *_cgroup_limits()])
    return max(total * 3 // 4 >> 20 << 20, _LEAST_BYTES)


def _cgroup_limits() -> list[int]:
    """The limits on memory of the cgroup that this process is in, and of those above it."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = _CGROUPS, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = _CGROUPS / "memory", "memory.limit_in_bytes"
        else:
            continue
        own = base / path.lstrip("/")
        # Within a container the path may be the host's; then what is mounted at the top is its own.
        for folder in (own, *own.parents):
            limits += _limit(folder / name)
            if folder == base:
                break
    return limits


def _limit(file: Path) -> list[int]:
    try:
        text = file.read_text().strip()
    except OSError:
        return []
    return [int(text)] if text.isdecimal() else []
