"""The runner's side: one `Sandbox` per node starts the launcher and launches confined processes.

Order at the start: get the lock (then whatever an earlier runner launched under it is dead), sweep the cgroups that it
left (then that is proven twice), start the launcher with the lock, and run a throwaway attempt to see which level
stands. Everything that a launch needs (sockets, pipes, a cgroup) is made here and handed to the launcher, so a failing
launch fails here and leaves nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sandbox import cgroup, lock, private, probe
from sandbox.confined import Confined
from sandbox.errors import LauncherError, SandboxError, SetupError
from sandbox.lease import Lease
from sandbox.link import Link, until_readable
from sandbox.relay_link import RelayLink
from sandbox.spec import Level, Limits, Spec

_PROBE_LIMITS = Limits(memory_bytes=128 << 20, processes=16, disk_bytes=1 << 20, open_files=64)
_NO_GROUPS = "processes by rlimits, memory by a watchdog, cpu not"


class Sandbox:
    """Launches confined processes. `start` it, `launch`, and `close` it, which kills whatever still runs.

    Args:
        lock_file: one for each runner; proves that what an earlier runner launched is dead. `None`: one of its own.
        level: this or none; `None` takes the strongest that the host allows.
        packages: importable packages that are shown inside, at the host's path, beside this one.
        preload: modules that the launcher imports once for all attempts. They are trusted, and start no thread.

    Attributes:
        level: in use, once started.
        walls: one line on what stands at this level, and why not a stronger one.
    """

    level: Level
    walls: str

    def __init__(
        self,
        *,
        lock_file: Path | None = None,
        level: Level | None = None,
        packages: Sequence[str] = (),
        preload: Sequence[str] = (),
    ) -> None:
        self._lock_file = lock_file
        self._private_lock_file: Path | None = None
        self._demanded = level
        self._packages = packages
        self._preload = preload
        self._link: Link | None = None
        self._relay = RelayLink()
        self._groups: cgroup.Groups | None = None
        self._is_dead = False
        self._numbers = itertools.count(1)
        self._live: dict[int, _Launch] = {}
        self._idle = asyncio.Event()
        self._burial: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Wait until everything launched under the lock file earlier is dead, clean up after it, and be ready.

        Raises:
            SetupError: the lock is held by others, or the level is not to be had.
            LauncherError: the launcher cannot be started.
        """
        if self._link is not None:
            return
        lock_file = self._lock_file
        if lock_file is None:
            lock_file = self._private_lock_file = private.make()
        held = await lock.acquire(lock_file)
        try:
            self._groups = cgroup.find(lock_file)
            if self._groups is not None:
                self._groups.sweep()
            self._is_dead = False
            self._link = Link(self._on_message, self._on_death)
            await self._link.start(held, packages=self._packages, preload=self._preload)
            self.level, self.walls = await probe.strongest(self._try, self._demanded)
        except BaseException:
            await self.close()
            raise
        finally:
            os.close(held)

    async def close(self) -> None:
        """Kill everything that was launched and wait for its end. Closing twice does no harm."""
        link, self._link = self._link, None
        if link is None:
            return
        for launch in self._live.values():
            launch.confined.kill()
        while self._live:
            self._idle = asyncio.Event()  # of this loop; the next start may be on another
            await self._idle.wait()
        await link.close()
        await self._relay.close()
        if self._groups is not None:
            self._groups.close()
        if self._private_lock_file is not None:
            private.clear(self._private_lock_file)

    async def launch(self, spec: Spec, lease: Lease | None = None) -> Confined:
        """Run what `spec` names, confined; returns when it is, just before its entry is called.

        Under a lease it is killed when that is over, whatever became of this process meanwhile.

        Raises:
            SetupError: a step of the confinement failed; nothing of the task was run.
            LauncherError: the launcher is not running, or died.
        """
        return await self._launch(spec, self.level, lease)

    async def _try(self, level: Level) -> str:
        confined = await self._launch(Spec(entry=probe.ENTRY, name="probe", limits=_PROBE_LIMITS), level)
        try:
            outcome = await confined.wait()
        finally:
            os.close(confined.stdout)
            os.close(confined.stderr)
        if outcome.exit_code != 0:
            raise SetupError("probe", f"a process that should have done nothing {outcome.describe_exit()}")
        return outcome.walls

    async def _launch(self, spec: Spec, level: Level, lease: Lease | None = None) -> Confined:
        if self._link is None or self._is_dead:
            raise LauncherError("the launcher is not running")
        if spec.endpoints():
            if level is not Level.FULL:
                raise SetupError(
                    "network", f"single hosts can be granted at level full only, and this is {level}: {self.walls}"
                )
            self._relay.start()
        number = next(self._numbers)
        launch = self._prepare(spec, number, lease)
        confined = launch.confined
        try:
            request = {
                "id": number,
                "slot": launch.slot,
                "level": level,
                "spec": spec.to_document(),
                "descriptors": len(launch.handed_over),
                "leased": lease is not None,
            }
            try:
                await self._link.send(request, launch.handed_over)
            except LauncherError as error:
                self._bury(number, error)
                raise
            finally:
                launch.close_far_ends()
            await confined.stands()
        except BaseException:
            confined.kill()
            os.close(confined.stdout)
            os.close(confined.stderr)
            raise
        return confined

    def _prepare(self, spec: Spec, number: int, lease: Lease | None) -> _Launch:
        slots = {launch.slot for launch in self._live.values()}
        slot = next(free for free in itertools.count() if free not in slots)
        try:
            group = self._groups.create(spec.limits) if self._groups is not None else None
        except OSError as error:
            raise SetupError.caused_by("cgroup", error) from error
        try:
            launch = _Launch(slot, group, lease)
            if endpoints := spec.endpoints():
                launch.confined.relay = partial(self._relay.take, endpoints)
        except OSError as error:
            if group is not None:
                group.remove()
            raise SetupError.caused_by("sockets and pipes", error) from error
        self._live[number] = launch
        return launch

    def _on_message(self, message: dict[str, Any], descriptors: list[int]) -> None:
        match message:
            case {"started": int(number), "pid": int(pid), "walls": str(walls)} if number in self._live:
                walls = f"{walls}; limits: {self._groups.description if self._groups else _NO_GROUPS}"
                # Where this process has no descriptor left, the kernel has dropped the pidfd.
                self._live[number].confined.started(pid, descriptors.pop() if descriptors else -1, walls)
            case {"ended": int(number), "cpu_time_s": float(cpu_s), "peak_bytes": int(peak)} if number in self._live:
                self._live.pop(number).confined.ended(cpu_s, peak)
                self._idle.set()
            case {"refused": int() | None as number, "step": str(step), "reason": str(reason), "errno": errno}:
                self._bury(number, SetupError(step, reason, errno))
            case _:
                raise LauncherError("the launcher said what no launcher says")

    def _on_death(self) -> None:
        """The launcher is gone: what it launched is dying by the kernel's hand. Say so of each when it is dead."""
        self._is_dead = True
        self._burial = asyncio.create_task(self._bury_all())

    async def _bury_all(self) -> None:
        for number, launch in list(self._live.items()):
            if launch.confined.pidfd >= 0:
                await until_readable(launch.confined.pidfd)
            self._bury(number, LauncherError("the launcher died; everything that it had launched is dead"))

    def _bury(self, number: int | None, error: SandboxError) -> None:
        """End a launch of which nothing more will be heard. What garbage was refused for has no number of ours."""
        launch = self._live.pop(number or 0, None)
        if launch is not None:
            launch.confined.ended(None, None, error)
            self._idle.set()


class _Launch:
    """What one launch takes: the ends that stay here, in `confined`, and those that go to the launcher."""

    def __init__(self, slot: int, group: cgroup.Group | None, lease: Lease | None) -> None:
        self.slot = slot
        with contextlib.ExitStack() as opened:
            control, far_control = _socket_pair(opened, socket.SOCK_SEQPACKET)
            channel, far_channel = _socket_pair(opened, socket.SOCK_STREAM)
            stdout, far_stdout = _pipe(opened)
            stderr, far_stderr = _pipe(opened)
            opened.pop_all()  # nothing failed: from here on they have owners
        self._far_ends = [far_control.detach(), far_channel.detach(), far_stdout, far_stderr]
        leases = () if lease is None else (lease.descriptor,)
        self.handed_over = [*self._far_ends, *leases, *(group.procs if group is not None else ())]
        self.confined = Confined(group, control, channel, stdout, stderr)

    def close_far_ends(self) -> None:
        """They have been handed over, or never will be."""
        while self._far_ends:
            os.close(self._far_ends.pop())


def _socket_pair(opened: contextlib.ExitStack, kind: int) -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair(socket.AF_UNIX, kind)
    opened.enter_context(near)
    opened.enter_context(far)
    near.setblocking(False)
    return near, far


def _pipe(opened: contextlib.ExitStack) -> tuple[int, int]:
    near, far = os.pipe2(os.O_CLOEXEC)
    opened.callback(os.close, near)
    opened.callback(os.close, far)
    os.set_blocking(near, False)
    return near, far
