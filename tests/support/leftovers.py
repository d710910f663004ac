"""What attempts may leave behind, counted: processes, descriptors, mounts, cgroups and memory."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from sandbox import Sandbox
from support.waiting import eventually_async

_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Leftovers:
    """Of a sandbox, its launcher and this process. Descriptors below this process can be counted by root only."""

    processes: int
    descriptors: int
    launched_descriptors: int | None
    mounts: int
    cgroups: int
    memory_bytes: int
    launcher_memory_bytes: int

    def counts(self) -> dict[str, int | None]:
        """All but the memory, which is allowed to move a little."""
        return {key: value for key, value in asdict(self).items() if not key.endswith("memory_bytes")}


def look(sandbox: Sandbox) -> Leftovers:
    """Count, while no attempt is under way."""
    this = psutil.Process()
    link = sandbox._link
    assert link is not None
    assert link._process is not None
    launcher = psutil.Process(link._process.pid)
    return Leftovers(
        processes=len(this.children(recursive=True)),
        descriptors=_descriptors("self"),
        launched_descriptors=_descriptors_from(launcher) if os.geteuid() == 0 else None,
        mounts=len(Path("/proc/self/mountinfo").read_text().splitlines()),
        cgroups=len(groups_of(sandbox._lock_file)),
        memory_bytes=this.memory_info().rss,
        launcher_memory_bytes=launcher.memory_info().rss,
    )


async def settled(sandbox: Sandbox) -> None:
    """Wait until in every init that is kept a standby is ready, so that as many processes are there each time."""
    zygotes = sandbox._zygotes._known.values()
    await eventually_async(lambda: all(len(each.standbys._spare) == len(each.standbys._inits) for each in zygotes))


def groups_of(lock_file: Path) -> list[Path]:
    """Every cgroup below those that belong to this lock file."""
    name = "isolane-" + hashlib.sha256(os.fsencode(lock_file.resolve())).hexdigest()[:16]
    # `os.walk` bears with others' groups that go away meanwhile.
    return [Path(folder) for folder, _, _ in os.walk(_CGROUPS) if name in Path(folder).parts[:-1]]


def _descriptors_from(launcher: psutil.Process) -> int:
    """Of the launcher and of all that is kept below it."""
    return sum(_descriptors(str(each.pid)) for each in (launcher, *launcher.children(recursive=True)))


def _descriptors(pid: str) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
