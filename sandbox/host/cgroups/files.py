"""cgroup files: finding, writing and removing, alike in both versions."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from pathlib import Path

from sandbox.errors import SetupError

_SWEEP_PATIENCE_S = 10.0
#: Of a limit on cpu, in both versions the default of the kernel.
PERIOD_US = 100_000


def mount_points() -> list[tuple[str, set[str], Path]]:
    """Every cgroup mount of this process: "cgroup" (v1) or "cgroup2", its options and controllers, and where it is."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            found.append((kind, set(options.split(",")), Path(before.split(" ")[4])))
    return found


def quota_us(cpus: float) -> int:
    """What a group may use of each `PERIOD_US` for this share of cores; the kernel takes no less than 1 ms."""
    return max(int(cpus * PERIOD_US), 1000)


def write(path: Path, text: str) -> None:
    """Write a control file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def number(descriptor: int) -> int:
    """The content of an open control file that holds one number."""
    return int(os.pread(descriptor, 64, 0))


def table(descriptor: int) -> dict[bytes, int]:
    """The content of an open control file that holds lines "name number"."""
    lines = os.pread(descriptor, 4096, 0).splitlines()
    return {name: int(value) for name, value in map(bytes.split, lines)}


def sweep_folder(folder: Path) -> None:
    """Kill everything in the groups of `folder`, wait until they are empty, and remove them."""
    deadline = time.monotonic() + _SWEEP_PATIENCE_S
    for group in [path for path in folder.glob("*") if path.is_dir()]:
        _kill_at_once(group)
        while not _is_removed(group):
            pids = _pids(group)
            if time.monotonic() > deadline:
                raise SetupError(
                    "cgroup", f"{group} does not get empty: {' '.join(pids) or 'what was in it'} does not die"
                )
            for pid in pids:
                if pid != "0":  # of another pid namespace; `os.kill` would take 0 for this process's own group
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.001)


def kill(group: Path) -> None:
    """Kill everything in a group in which nothing can be forked."""
    if _kill_at_once(group):
        return
    for pid in _pids(group):
        try:
            pidfd = os.pidfd_open(int(pid))
        except ProcessLookupError:
            continue
        try:
            if pid in _pids(group):  # so the pid is still that of the same process
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        finally:
            os.close(pidfd)


def _kill_at_once(group: Path) -> bool:
    """Kill everything in it, also what is forked meanwhile; `False` in version 1, and before Linux 5.14."""
    try:
        write(group / "cgroup.kill", "1")
    except FileNotFoundError:
        return False
    return True


def _pids(group: Path) -> list[str]:
    return (group / "cgroup.procs").read_text().split()


def _is_removed(group: Path) -> bool:
    """Remove it; `False` while something in it is dying, even if that is not listed any more."""
    try:
        group.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def remove_folder(folder: Path) -> None:
    """Remove a group or a folder of groups; leave one that is in use or gone already."""
    try:
        folder.rmdir()
    except OSError:
        pass  # the next start under this lock file sweeps it
