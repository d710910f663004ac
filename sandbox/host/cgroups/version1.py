"""cgroup v1: one hierarchy for each controller, for root and wherever root gave a folder in each to an ordinary user.

Root makes its folder at the top. An ordinary user makes it below the cgroup that it is in. Nothing has to be moved
first, as it has in version 2, and limits that root set on that cgroup hold for everything below.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from sandbox.host.cgroups import files
from sandbox.host.cgroups.pool import LEFT_BEHIND_BYTES, Pool
from sandbox.spec import Limits

_NEEDED = ("memory", "pids")
_WELCOME = ("cpu", "cpuacct")


def find_v1(folder: str) -> V1Groups | None:
    """The hierarchies in which a folder can be made, `None` unless memory and pids are among them."""
    folders: dict[str, Path] = {}
    own = _own_cgroups()
    for kind, options, root in files.mount_points():
        for controller in {*_NEEDED, *_WELCOME} & options if kind == "cgroup" else ():
            for base in (root, root / own[controller]) if controller in own else (root,):
                if _make_folder(base / folder):
                    folders[controller] = base / folder
                    break
    if not all(controller in folders for controller in _NEEDED):
        for path in folders.values():
            files.remove_folder(path)
        return None
    return V1Groups(folders)


def _own_cgroups() -> dict[str, str]:
    """Where this process is, by controller, relative to the top."""
    found: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "/../" not in path:  # outside of what its cgroup namespace shows
            found |= dict.fromkeys(controllers.split(","), path.lstrip("/"))
    return found


def _make_folder(path: Path) -> bool:
    """Make it; `False` if it cannot be made or is not ours: root may have left one of that name."""
    try:
        path.mkdir(exist_ok=True)
    except OSError:
        return False
    return os.access(path, os.W_OK)


class V1Groups:
    """Our folder in each hierarchy."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders
        self._numbers = itertools.count(1)
        self._pool: Pool[V1Group] = Pool()
        shown = [controller for controller in (*_NEEDED, "cpu") if controller in folders]
        self.description = f"cgroup v1 {' '.join(shown)}"

    def create(self, limits: Limits) -> V1Group:
        """A group with limits. Raises `OSError`."""
        return self._pool.take(limits) or self._make(limits)

    def _make(self, limits: Limits) -> V1Group:
        name = str(next(self._numbers))
        paths = {controller: folder / name for controller, folder in self._folders.items()}
        return V1Group(paths, limits, self._pool)

    def sweep(self) -> None:
        """Kill and remove every group of this lock file."""
        for folder in set(self._folders.values()):
            files.sweep_folder(folder)

    def close(self) -> None:
        """Remove the groups that are kept for reuse, and the folder itself if it is empty then."""
        self._pool.clear()
        for folder in set(self._folders.values()):
            files.remove_folder(folder)


class V1Group:
    """The group of one attempt: a folder of the same name in each hierarchy."""

    def __init__(self, paths: dict[str, Path], limits: Limits, pool: Pool[V1Group]) -> None:
        self._paths = paths
        self._pool = pool
        self._memory_bytes = self._most_processes = 0  # before it has limits
        self._has_quota = False
        self._open: list[int] = []
        self.procs: tuple[int, ...] = ()
        try:
            for path in dict.fromkeys(paths.values()):  # cpu and cpuacct may be one hierarchy
                path.mkdir()
            self._memory_limits = self._open_memory_limits()
            self.limit(limits)
            self.alarm = self._arm()
            # A process of one thread that writes to `tasks` moves at once. With `cgroup.procs` the kernel first waits
            # until no processor forks, which takes 10 ms on an idle machine.
            self.procs = tuple(
                self._keep(os.open(path / "tasks", os.O_WRONLY | os.O_CLOEXEC))
                for path in dict.fromkeys(paths.values())
            )
            # Kept open: these are read for each attempt, and opening them takes longer than reading.
            self._control = self._keep(os.open(paths["memory"] / "memory.oom_control", os.O_RDONLY | os.O_CLOEXEC))
            self._used = self._keep(os.open(paths["memory"] / "memory.usage_in_bytes", os.O_RDONLY | os.O_CLOEXEC))
            self._peak = self._keep(os.open(paths["memory"] / "memory.max_usage_in_bytes", os.O_RDWR | os.O_CLOEXEC))
            self._processes = self._keep(os.open(paths["pids"] / "pids.current", os.O_RDONLY | os.O_CLOEXEC))
            self._cpu: int | None = None
            if "cpuacct" in paths:
                self._cpu = self._keep(os.open(paths["cpuacct"] / "cpuacct.usage", os.O_RDWR | os.O_CLOEXEC))
        except OSError:
            self.discard()
            raise

    def _keep(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor

    def limit(self, limits: Limits) -> None:
        """Set other limits. Raises `OSError`."""
        if self._memory_bytes != limits.memory_bytes:
            self.limit_memory(limits.memory_bytes)
        if self._most_processes != limits.processes:
            self._limit_processes(limits.processes)
        if "cpu" in self._paths and (limits.cpus is not None or self._has_quota):
            # Also if it stays the same: that clears what the last attempt overdrew.
            quota = -1 if limits.cpus is None else files.quota_us(limits.cpus)
            files.write(self._paths["cpu"] / "cpu.cfs_quota_us", str(quota))
            self._has_quota = limits.cpus is not None

    def limit_memory(self, limit_bytes: int) -> None:
        """Set another limit on memory. Raises `OSError` if more is in use."""
        grows = 0 < self._memory_bytes < limit_bytes
        self._memory_bytes = limit_bytes
        limit = str(limit_bytes).encode()
        # The limit on memory and swap together may never be below that on memory. Both are equal: no swap.
        for file in reversed(self._memory_limits) if grows else self._memory_limits:
            os.pwrite(file, limit, 0)

    def _limit_processes(self, most: int) -> None:
        self._most_processes = most
        files.write(self._paths["pids"] / "pids.max", str(most))

    def _open_memory_limits(self) -> list[int]:
        """Where the limit is written: on memory, on memory and swap where the kernel counts swap, and on TCP.

        What TCP connections hold is counted separately, and only if it has a limit.
        """
        names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.kmem.tcp.limit_in_bytes")
        files = [self._paths["memory"] / name for name in names]
        return [self._keep(os.open(file, os.O_WRONLY | os.O_CLOEXEC)) for file in files if file.exists()]

    def _arm(self) -> int:
        """Have the kernel signal an eventfd when the group runs out of memory, just before it kills."""
        memory = self._paths["memory"]
        alarm = self._keep(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        control = os.open(memory / "memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            files.write(memory / "cgroup.event_control", f"{alarm} {control}")
        finally:
            os.close(control)
        return alarm

    def renew(self, limits: Limits) -> bool:
        """Make it as new, with these limits; `False` if that is not possible."""
        if files.number(self._processes) or self.kills() or self.used_bytes() > LEFT_BEHIND_BYTES:
            return False
        self.clear_alarm()
        self.limit(limits)
        os.pwrite(self._peak, b"0", 0)
        if self._cpu is not None:
            os.pwrite(self._cpu, b"0", 0)
        return True

    def kills(self) -> int:
        """How many processes the kernel has killed for memory."""
        return files.table(self._control)[b"oom_kill"]

    def clear_alarm(self) -> None:
        """Make `alarm` unreadable again."""
        try:
            os.eventfd_read(self.alarm)
        except BlockingIOError:
            pass

    def used_bytes(self) -> int:
        """The memory that is in use."""
        return files.number(self._used)

    def peak_bytes(self) -> int | None:
        """The most memory that was in use at once."""
        return files.number(self._peak)

    def cpu_time_s(self) -> float | None:
        """User and system time of all that was in it."""
        return None if self._cpu is None else files.number(self._cpu) / 1e9

    def processes(self) -> int:
        """How many processes and threads are in it, those included that are dead and not reaped."""
        return files.number(self._processes)

    def kill(self) -> None:
        """Forbid further forks in it, and kill everything that is in it."""
        self._limit_processes(1)
        files.kill(self._paths["pids"])

    def remove(self) -> None:
        """Give the group back; nothing in it may be alive."""
        self._pool.keep(self)

    def discard(self) -> None:
        """Remove it from the kernel."""
        while self._open:
            os.close(self._open.pop())
        for path in set(self._paths.values()):
            files.remove_folder(path)
