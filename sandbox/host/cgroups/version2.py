"""cgroup v2: one hierarchy, for root and wherever it was delegated (a service or scope with `Delegate=yes`)."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import select
from pathlib import Path

from sandbox.host.cgroups import files
from sandbox.host.cgroups.delegation import NEEDED, WELCOME, folder_for_groups
from sandbox.host.cgroups.pool import LEFT_BEHIND_BYTES, Pool
from sandbox.spec import Limits


def find_v2(folder: str) -> V2Groups | None:
    """Our folder; `None` unless memory and pids are available there."""
    found = folder_for_groups(folder)
    return V2Groups(*found) if found is not None else None


class V2Groups:
    """Our folder."""

    def __init__(self, folder: Path, controllers: set[str]) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._pool: Pool[V2Group] = Pool()
        self._has_cpu = "cpu" in controllers
        shown = [controller for controller in (*NEEDED, *WELCOME) if controller in controllers]
        self.description = f"cgroup v2 {' '.join(shown)}"

    def create(self, limits: Limits) -> V2Group:
        """A group with limits. Raises `OSError`."""
        return self._pool.take(limits) or self._make(limits)

    def _make(self, limits: Limits) -> V2Group:
        return V2Group(self._folder / str(next(self._numbers)), limits, self._pool, has_cpu=self._has_cpu)

    def sweep(self) -> None:
        """Kill and remove every group of this lock file."""
        files.sweep_folder(self._folder)

    def close(self) -> None:
        """Remove the groups that are kept for reuse, and the folder itself if it is empty then."""
        self._pool.clear()
        files.remove_folder(self._folder)


class V2Group:
    """The group of one attempt."""

    def __init__(self, path: Path, limits: Limits, pool: Pool[V2Group], *, has_cpu: bool) -> None:
        self._path = path
        self._pool = pool
        self._has_cpu = has_cpu
        self._memory_bytes = self._most_processes = 0  # before it has limits
        self._has_quota = False
        self._earlier_cpu_time_s = 0.0
        self._open = contextlib.ExitStack()
        self.procs: tuple[int, ...] = ()
        try:
            path.mkdir()
            if (path / "memory.swap.max").exists():
                files.write(path / "memory.swap.max", "0")
            files.write(path / "memory.oom.group", "1")  # one killed, all killed: no crippled tree goes on
            self._memory_limit = self._keep(os.open(path / "memory.max", os.O_WRONLY | os.O_CLOEXEC))
            self.limit(limits)
            self.alarm = self._watch_events()
            self.procs = (self._keep(os.open(path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)),)
            # Kept open: these are read for each attempt, and opening them takes longer than reading.
            self._events, self._used, self._processes, self._cpu = map(
                self._open_to_read, ("memory.events", "memory.current", "pids.current", "cpu.stat")
            )
            self._peak = self._open_peak()
        except OSError:
            self.discard()
            raise

    def _keep(self, descriptor: int) -> int:
        self._open.callback(os.close, descriptor)
        return descriptor

    def _open_to_read(self, name: str) -> int:
        return self._keep(os.open(self._path / name, os.O_RDONLY | os.O_CLOEXEC))

    def _watch_events(self) -> int:
        """A descriptor that is readable once `memory.events` has changed. Not inotify: a user has few instances.

        The kernel reports by `EPOLLPRI` that the file has changed since it was last read through this descriptor. The
        number of kills is read through another one, which takes no notice away.
        """
        self._notices = self._open_to_read("memory.events")
        watch = self._open.enter_context(select.epoll())
        try:
            watch.register(self._notices, select.EPOLLPRI)
        except OSError as error:
            if error.errno != errno.ENOSPC:  # attempts may have taken all epoll watches of this user
                raise  # without a watch, a kill is noticed when all of the group is dead
        self.clear_alarm()  # creating the file counts as a change
        return watch.fileno()

    def _open_peak(self) -> int | None:
        """The file of the peak; from Linux 6.12 each descriptor of it counts its own peak, and can reset it."""
        try:
            return self._keep(os.open(self._path / "memory.peak", os.O_RDWR | os.O_CLOEXEC))
        except OSError:
            return None

    def limit(self, limits: Limits) -> None:
        """Set other limits. Raises `OSError`."""
        if self._memory_bytes != limits.memory_bytes:
            self._write_memory_limit(limits.memory_bytes)
        if self._most_processes != limits.processes:
            self._limit_processes(limits.processes)
        if self._has_cpu and (limits.cpus is not None or self._has_quota):
            # Also if it stays the same: that clears what the last attempt overdrew.
            quota = "max" if limits.cpus is None else files.quota_us(limits.cpus)
            files.write(self._path / "cpu.max", f"{quota} {files.PERIOD_US}")
            self._has_quota = limits.cpus is not None

    def limit_memory(self, limit_bytes: int) -> None:
        """Set another limit on memory. Raises `OSError` if more is in use."""
        if limit_bytes < self._memory_bytes and self.used_bytes() > limit_bytes:
            # Unlike in version 1, the kernel would not refuse: it would kill until the rest fits.
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self._write_memory_limit(limit_bytes)

    def _write_memory_limit(self, limit_bytes: int) -> None:
        os.pwrite(self._memory_limit, str(limit_bytes).encode(), 0)
        self._memory_bytes = limit_bytes

    def _limit_processes(self, most: int) -> None:
        self._most_processes = most
        files.write(self._path / "pids.max", str(most))

    def renew(self, limits: Limits) -> bool:
        """Make it as new, with these limits; `False` if that is not possible, as where the peak cannot be reset."""
        if self._peak is None and (self._path / "memory.peak").exists():
            return False
        if self.processes() or self.kills() or self.used_bytes() > LEFT_BEHIND_BYTES:
            return False
        self.clear_alarm()
        self.limit(limits)
        if self._peak is not None:
            os.write(self._peak, b"reset")
        self._earlier_cpu_time_s = self._cpu_time_s()
        return True

    def kills(self) -> int:
        """How many processes the kernel has killed for memory."""
        return files.table(self._events)[b"oom_kill"]

    def clear_alarm(self) -> None:
        """Make `alarm` unreadable again."""
        os.pread(self._notices, 4096, 0)

    def used_bytes(self) -> int:
        """The memory that is in use."""
        return files.number(self._used)

    def peak_bytes(self) -> int | None:
        """The most memory that was in use at once, `None` before Linux 5.19."""
        if self._peak is not None:
            return files.number(self._peak)
        try:
            return int((self._path / "memory.peak").read_bytes())
        except FileNotFoundError:
            return None

    def cpu_time_s(self) -> float | None:
        """User and system time of all that was in it."""
        return self._cpu_time_s() - self._earlier_cpu_time_s

    def _cpu_time_s(self) -> float:
        # `cpu.stat` is there without the cpu controller too.
        return files.table(self._cpu)[b"usage_usec"] / 1e6

    def processes(self) -> int:
        """How many processes and threads are in it, those included that are dead and not reaped."""
        return files.number(self._processes)

    def kill(self) -> None:
        """Forbid further forks in it, and kill everything that is in it."""
        self._limit_processes(1)
        files.kill(self._path)

    def remove(self) -> None:
        """Give the group back; nothing in it may be alive."""
        self._pool.keep(self)

    def discard(self) -> None:
        """Remove it from the kernel."""
        self._open.close()
        files.remove_folder(self._path)
