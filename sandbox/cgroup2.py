"""cgroup v2: one hierarchy, for root and wherever it was delegated (a service or scope with `Delegate=yes`)."""

from __future__ import annotations

import os
from pathlib import Path

from sandbox import cgroupfs, syscalls
from sandbox.spec import Limits

_PERIOD_US = 100_000
_NEEDED = ("memory", "pids")
_WELCOME = ("cpu",)


def find_v2(folder: str) -> V2Groups | None:
    """Our folder under the cgroup of this process or at the top; `None` unless memory and pids can be had there."""
    for kind, _, root in cgroupfs.mount_points():
        if kind == "cgroup2":
            for base in _bases(root):
                if (groups := _prepare(base, folder)) is not None:
                    return groups
    return None


def _bases(root: Path) -> list[Path]:
    """Where a folder may be made: first where we are, which may be delegated to us, then the top, which is root's."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::/") and "/../" not in line:
            own = root / line[len("0::/") :]
            return [own, root] if own != root else [root]
    return [root]


def _prepare(base: Path, folder: str) -> V2Groups | None:
    path = base / folder
    try:
        path.mkdir(exist_ok=True)
    except OSError:
        return None
    try:
        _enable(base, path)
        enabled = _enabled(path)
    except OSError:
        enabled = set()
    if not enabled.issuperset(_NEEDED):
        cgroupfs.remove_folder(path)
        return None
    return V2Groups(path, enabled)


def _enable(base: Path, path: Path) -> None:
    """Hand the controllers down, from `base` to our folder and from there to the groups."""
    for parent in (base, path):
        for controller in (*_NEEDED, *_WELCOME):
            if controller in _enabled(parent):
                continue
            try:
                cgroupfs.write(parent / "cgroup.subtree_control", f"+{controller}")
            except OSError:
                continue  # not there, or (EBUSY) processes live in `parent` itself; what counts is read back


def _enabled(path: Path) -> set[str]:
    return set((path / "cgroup.subtree_control").read_text().split())


class V2Groups:
    """Our folder."""

    def __init__(self, folder: Path, controllers: set[str]) -> None:
        self._folder = folder
        self._has_cpu = "cpu" in controllers
        shown = [controller for controller in (*_NEEDED, *_WELCOME) if controller in controllers]
        self.description = f"cgroup v2 {' '.join(shown)}"

    def create(self, name: str, limits: Limits) -> V2Group:
        """Make a group with limits. Raises `OSError`."""
        return V2Group(self._folder / name, limits, has_cpu=self._has_cpu)

    def sweep(self) -> None:
        """Kill and remove every group of this lock file."""
        cgroupfs.sweep_folder(self._folder)

    def close(self) -> None:
        """Remove the folder itself, if nothing is left in it."""
        cgroupfs.remove_folder(self._folder)


class V2Group:
    """The group of one attempt."""

    def __init__(self, path: Path, limits: Limits, *, has_cpu: bool) -> None:
        self._path = path
        self._open: list[int] = []
        self.procs: tuple[int, ...] = ()
        try:
            path.mkdir()
            cgroupfs.write(path / "memory.max", str(limits.memory_bytes))
            if (path / "memory.swap.max").exists():
                cgroupfs.write(path / "memory.swap.max", "0")
            cgroupfs.write(path / "memory.oom.group", "1")  # one killed, all killed: no crippled tree goes on
            cgroupfs.write(path / "pids.max", str(limits.processes))
            if limits.cpus is not None and has_cpu:
                quota = max(int(limits.cpus * _PERIOD_US), 1000)  # the kernel's least is 1 ms
                cgroupfs.write(path / "cpu.max", f"{quota} {_PERIOD_US}")
            self.alarm = self._keep(syscalls.inotify_modified(str(path / "memory.events")))
            self.procs = (self._keep(os.open(path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)),)
        except OSError:
            self.remove()
            raise

    def _keep(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor

    def kills(self) -> int:
        """How many processes the kernel has killed for memory."""
        return self._read("memory.events", "oom_kill") or 0

    def clear_alarm(self) -> None:
        """Make `alarm` unreadable again."""
        try:
            os.read(self.alarm, 4096)
        except BlockingIOError:
            pass

    def peak_bytes(self) -> int | None:
        """The most memory that was in use at once, `None` before Linux 5.19."""
        try:
            return int((self._path / "memory.peak").read_bytes())
        except FileNotFoundError:
            return None

    def cpu_time_s(self) -> float | None:
        """User and system time of all that was in it."""
        usage = self._read("cpu.stat", "usage_usec")  # there without the cpu controller too
        return None if usage is None else usage / 1e6

    def _read(self, file: str, key: str) -> int | None:
        for line in (self._path / file).read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == key:
                return int(value)
        return None

    def remove(self) -> None:
        """Remove the group, in which nothing lives any more."""
        while self._open:
            os.close(self._open.pop())
        cgroupfs.remove_folder(self._path)
