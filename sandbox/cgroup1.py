"""cgroup v1: one hierarchy for each controller, only for root."""

from __future__ import annotations

import os
from pathlib import Path

from sandbox import cgroupfs
from sandbox.spec import Limits

_PERIOD_US = 100_000
_NEEDED = ("memory", "pids")
_WELCOME = ("cpu", "cpuacct")


def find_v1(folder: str) -> V1Groups | None:
    """The hierarchies in which a folder can be made, `None` unless memory and pids are among them."""
    folders: dict[str, Path] = {}
    for kind, options, root in cgroupfs.mount_points():
        for controller in {*_NEEDED, *_WELCOME} & options if kind == "cgroup" else ():
            try:
                (root / folder).mkdir(exist_ok=True)
            except OSError:
                continue
            folders[controller] = root / folder
    if not all(controller in folders for controller in _NEEDED):
        for path in folders.values():
            cgroupfs.remove_folder(path)
        return None
    return V1Groups(folders)


class V1Groups:
    """Our folder in each hierarchy."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders
        shown = [controller for controller in (*_NEEDED, "cpu") if controller in folders]
        self.description = f"cgroup v1 {' '.join(shown)}"

    def create(self, name: str, limits: Limits) -> V1Group:
        """Make a group with limits. Raises `OSError`."""
        return V1Group({controller: folder / name for controller, folder in self._folders.items()}, limits)

    def sweep(self) -> None:
        """Kill and remove every group of this lock file."""
        for folder in set(self._folders.values()):
            cgroupfs.sweep_folder(folder)

    def close(self) -> None:
        """Remove the folder itself, if nothing is left in it."""
        for folder in set(self._folders.values()):
            cgroupfs.remove_folder(folder)


class V1Group:
    """The group of one attempt: a folder of the same name in each hierarchy."""

    def __init__(self, paths: dict[str, Path], limits: Limits) -> None:
        self._paths = paths
        self._open: list[int] = []
        self.procs: tuple[int, ...] = ()
        try:
            for path in dict.fromkeys(paths.values()):  # cpu and cpuacct may be one hierarchy
                path.mkdir()
            self._limit(limits)
            self.alarm = self._arm()
            self.procs = tuple(
                self._keep(os.open(path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
                for path in dict.fromkeys(paths.values())
            )
            self._control = self._keep(os.open(paths["memory"] / "memory.oom_control", os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            self.remove()
            raise

    def _keep(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor

    def _limit(self, limits: Limits) -> None:
        memory = self._paths["memory"]
        cgroupfs.write(memory / "memory.limit_in_bytes", str(limits.memory_bytes))
        if (memory / "memory.memsw.limit_in_bytes").exists():  # no swap on top of it
            cgroupfs.write(memory / "memory.memsw.limit_in_bytes", str(limits.memory_bytes))
        cgroupfs.write(self._paths["pids"] / "pids.max", str(limits.processes))
        if limits.cpus is not None and "cpu" in self._paths:
            quota = max(int(limits.cpus * _PERIOD_US), 1000)  # the kernel's least is 1 ms
            cgroupfs.write(self._paths["cpu"] / "cpu.cfs_quota_us", str(quota))

    def _arm(self) -> int:
        """Have the kernel signal an eventfd when the group runs out of memory, which is just before it kills."""
        memory = self._paths["memory"]
        alarm = self._keep(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        control = os.open(memory / "memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            cgroupfs.write(memory / "cgroup.event_control", f"{alarm} {control}")
        finally:
            os.close(control)
        return alarm

    def kills(self) -> int:
        """How many processes the kernel has killed for memory."""
        return int(_table(os.pread(self._control, 4096, 0))[b"oom_kill"])

    def clear_alarm(self) -> None:
        """Make `alarm` unreadable again."""
        try:
            os.eventfd_read(self.alarm)
        except BlockingIOError:
            pass

    def peak_bytes(self) -> int | None:
        """The most memory that was in use at once."""
        return int((self._paths["memory"] / "memory.max_usage_in_bytes").read_bytes())

    def cpu_time_s(self) -> float | None:
        """User and system time of all that was in it."""
        if "cpuacct" not in self._paths:
            return None
        return int((self._paths["cpuacct"] / "cpuacct.usage").read_bytes()) / 1e9

    def remove(self) -> None:
        """Remove the group, in which nothing lives any more."""
        while self._open:
            os.close(self._open.pop())
        for path in set(self._paths.values()):
            cgroupfs.remove_folder(path)


def _table(text: bytes) -> dict[bytes, bytes]:
    return dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
