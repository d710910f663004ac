"""The runner's side: one sandbox per node starts the launcher and launches confined processes.

Order at the start: get the lock (then whatever an earlier runner launched under it is dead), sweep the cgroups that it
left (which proves the same once more), start the launcher with the lock, and run a throwaway attempt to see which level
stands. Everything that a launch needs (sockets, pipes, a cgroup) is made here and handed to the launcher. So a launch
that fails does so here, and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sandbox.errors import LauncherError, SandboxError, SetupError
from sandbox.host import lock, probe, set_id_files, temporary_lock
from sandbox.host.attempt_io import AttemptIO
from sandbox.host.cgroups import cgroup
from sandbox.host.confined import Confined
from sandbox.host.launches import AttemptLaunch, WarmLaunch, ZygoteLaunch
from sandbox.host.links.launcher_link import LauncherLink
from sandbox.host.links.relay_link import RelayLink
from sandbox.host.live_launches import LiveLaunches
from sandbox.host.tree_memory import ProcessTree
from sandbox.host.warm import footprint
from sandbox.host.warm.standby_pool import StandbyHandle
from sandbox.host.warm.zygote_handle import UnfitHost, ZygoteHandle
from sandbox.host.warm.zygote_pool import ZygotePool
from sandbox.host.watchdog import Watchdog, Watched
from sandbox.protocol.control_messages import End
from sandbox.protocol.lease import Lease
from sandbox.protocol.messages import Message
from sandbox.spec import Level, Limits, Spec

_PROBE_LIMITS = Limits(memory_bytes=128 << 20, processes=16, disk_bytes=1 << 20, open_files=64)
_WARM_UP_PATIENCE_S = 60.0
_FORK_PATIENCE_S = 10.0
_MOST_ZYGOTES = 16
_NO_GROUPS = "processes by rlimits, memory by a watchdog, cpu not"


class LaunchingSandbox:
    """Launches confined processes. `start` it, `launch`, and `close` it, which kills whatever still runs.

    `start` raises this process's limit on open files as far as it may (`rlimits.raise_files` says why).

    Args:
        lock_file: one for each runner; proves that what an earlier runner launched is dead. `None`: one of its own.
        level: the level to use, or fail; `None` takes the strongest that the host allows.
        packages: importable packages that are shown inside, at the host's path, beside this one.
        preload: modules that the launcher imports once for all attempts. They are trusted, and start no thread.
        keep_warm_s: how long a zygote is kept for the next attempt of its spec, in seconds; 0 for no zygotes.

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
        keep_warm_s: float = 60.0,
    ) -> None:
        self._lock_file = lock_file
        self._private_lock_file: Path | None = None
        self._demanded = level
        self._packages = packages
        self._preload = preload
        self._link: LauncherLink | None = None
        self._relay = RelayLink()
        self._groups: cgroup.Groups | None = None
        self._is_dead = False
        self._live = LiveLaunches()
        self._watchdog = Watchdog()
        self._zygotes = ZygotePool(self._start_zygote, self._live.zygotes, keep_s=keep_warm_s, most=_MOST_ZYGOTES)
        self._ending: asyncio.Task[None] | None = None
        self._harmless: set[str] = set()  # folders that may be mounted to be written

    async def start(self) -> None:
        """Wait until everything launched under the lock file earlier is dead, clean up after it, and be ready.

        Raises:
            SetupError: the lock is held by others, or the level is not available.
            LauncherError: the launcher cannot be started.
        """
        if self._link is not None:
            return
        lock_file = self._lock_file
        if lock_file is None:
            lock_file = self._private_lock_file = temporary_lock.make()
        held = await lock.acquire(lock_file)
        try:
            self._groups = cgroup.find(lock_file)
            if self._groups is not None:
                self._groups.sweep()
            self._is_dead = True  # until it is ready: nothing may be asked of it before
            self._link = LauncherLink(self._on_message, self._on_death)
            await self._link.start(held, packages=self._packages, preload=self._preload)
            self._is_dead = False
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
        await self._zygotes.close()
        await self._live.kill_all()
        await asyncio.to_thread(self._watchdog.close)
        await link.close()
        await self._relay.close()
        if self._groups is not None:
            self._groups.close()
        if self._private_lock_file is not None:
            temporary_lock.clear(self._private_lock_file)

    async def launch(self, spec: Spec, lease: Lease | None = None) -> Confined:
        """Run what `spec` names, confined; returns when the confinement stands, just before the entry is called.

        A warm attempt is confined already, so this returns earlier; an error after that is raised by `Confined.wait`.
        Under a lease it is killed when that is over, even if this process is stopped or dead by then.

        Raises:
            SetupError: a step of the confinement failed; nothing of the task was run.
            LauncherError: the launcher is not running, or died.
        """
        zygote = self._zygotes.find(spec, lease)
        if zygote is not None:
            # If this fails, nothing of the attempt was run. Modules that were imported can make it fail: hooks on
            # forks.
            try:
                async with asyncio.timeout(_FORK_PATIENCE_S):
                    return await self._launch_warm(spec, zygote)
            except LauncherError:
                pass  # the zygote has ended, or the launcher: then the launch below fails too
            except SetupError as error:
                self._zygotes.give_up(zygote, f"left what no attempt could be forked from: {error}")
            except TimeoutError:
                why = f"left what takes longer than {_FORK_PATIENCE_S:g} s to fork"
                self._zygotes.give_up(zygote, why)
                zygote.dismiss(why)
        return await self._launch(spec, self.level, lease)

    async def warm_up(self, spec: Spec, lease: Lease | None = None) -> str:
        """Have attempts with this spec start warm from now on, without waiting for it to come up twice.

        Returns why they cannot, as the rest of "warming up, it …"; empty if they do.
        """
        return await self._zygotes.ensure(spec, lease)

    def share_memory(self, free_bytes: Callable[[], int]) -> None:
        """Bound the memory that all zygotes may hold together, by a function that is asked each time. Default: none."""
        self._zygotes.free_bytes = free_bytes

    @property
    def warm_bytes(self) -> int:
        """The memory that zygotes of running attempts may hold, beside the attempts' own."""
        return self._zygotes.used_bytes

    async def make_room(self) -> None:
        """Retire idle zygotes until all together hold no more than is free, or only those in use are left."""
        await self._zygotes.make_room()

    def retire_zygotes(self, is_current: Callable[[Spec], bool]) -> None:
        """Retire the zygotes of specs that are not current any more."""
        self._zygotes.retire(is_current)

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
        if level is not Level.BASIC:
            await self._look_at_mounts(spec)
        self._start_relay(spec, level)
        number = self._live.new_number()
        attempt_io = self._provide(spec.limits)
        try:
            launch = AttemptLaunch(attempt_io, self._live.free_slot(), lease)
        except OSError as error:
            attempt_io.discard()
            raise SetupError.caused_by("sockets and pipes", error) from error
        confined = launch.confined
        self._grant_network(spec, confined)
        if not confined.limits_memory:
            confined.watch = partial(self._watch, spec, has_network=level is Level.FULL and not spec.shares_network)
        try:
            await self._ask(number, launch, spec, level, lease)
            await confined.stands()
        except BaseException:
            _abandon(confined)
            raise
        return confined

    async def _launch_warm(self, spec: Spec, zygote: ZygoteHandle) -> Confined:
        self._start_relay(spec, self.level)
        number = self._live.new_number()
        begun: list[Confined] = []

        def begin(standby: StandbyHandle) -> Confined:
            launch = WarmLaunch(number, zygote, standby)
            self._grant_network(spec, launch.confined)
            try:
                launch.begin(spec.name)
            except LauncherError as error:
                launch.ended(End(error=error))
                _abandon(launch.confined)
                raise
            self._live.add(number, launch)
            standby.on_end = partial(self._live.end, number)
            begun.append(launch.confined)
            return launch.confined

        try:
            return await zygote.standbys.take(begin)
        except BaseException:
            for confined in begun:
                _abandon(confined)
            raise

    def _start_relay(self, spec: Spec, level: Level) -> None:
        if not spec.endpoints():
            return
        if level is not Level.FULL:
            raise SetupError(
                "network", f"single hosts can be granted at level full only, and this is {level}: {self.walls}"
            )
        self._relay.start()

    def _grant_network(self, spec: Spec, confined: Confined) -> None:
        if endpoints := spec.endpoints():
            confined.hosts.relay = partial(self._relay.take, endpoints)

    def _watch(self, spec: Spec, pid: int, on_excess: Callable[[], object], *, has_network: bool) -> Watched:
        return self._watchdog.watch(ProcessTree(pid, has_network=has_network), spec.limits.memory_bytes, on_excess)

    async def _look_at_mounts(self, spec: Spec) -> None:
        for source in (mount.source for mount in spec.mounts if mount.writable):
            if source not in self._harmless:
                if program := await asyncio.to_thread(set_id_files.find, source):
                    raise SetupError(
                        "mounts",
                        f"{program} has a set-user-id or set-group-id bit or capabilities, so whoever may write it may "
                        "become another user; take them away (chmod ug-s, setcap -r), or do not mount "
                        f"{source} writable",
                    )
                self._harmless.add(source)

    async def _start_zygote(self, spec: Spec, lease: Lease | None) -> ZygoteHandle | str:
        number = self._live.new_number()
        if self.level is not Level.FULL:
            return UnfitHost(f"needs level full, and this is {self.level}")
        try:
            await self._look_at_mounts(spec)
        except SetupError as error:
            return f"needs other {error}"
        group = self._create_group(spec.limits)
        if group is None:
            return UnfitHost("needs a cgroup, and none is available here")
        try:
            provide = partial(self._provide, footprint.while_waiting(spec.limits))
            launch = ZygoteLaunch(spec, group, self._live.free_slot(), lease, provide)
        except OSError:
            group.remove()
            raise
        try:
            await self._ask(number, launch, spec, self.level, lease)
            async with asyncio.timeout(_WARM_UP_PATIENCE_S):
                unfit = await launch.settled
            if not unfit:
                await launch.zygote.standbys.build_ahead()
        except TimeoutError:
            unfit = f"took longer than {_WARM_UP_PATIENCE_S:g} s"
        except BaseException:
            launch.kill()
            raise
        if unfit:
            launch.kill()
        return unfit or launch.zygote

    def _provide(self, limits: Limits) -> AttemptIO:
        """Make the channel, pipes and cgroup of an attempt."""
        group = self._create_group(limits)
        try:
            return AttemptIO(group)
        except OSError as error:
            if group is not None:
                group.remove()
            raise SetupError.caused_by("sockets and pipes", error) from error

    def _create_group(self, limits: Limits) -> cgroup.Group | None:
        if self._link is None or self._is_dead:
            raise LauncherError("the launcher is not running")
        try:
            return self._groups.create(limits) if self._groups is not None else None
        except OSError as error:
            raise SetupError.caused_by("cgroup", error) from error

    async def _ask(
        self, number: int, launch: AttemptLaunch | ZygoteLaunch, spec: Spec, level: Level, lease: Lease | None
    ) -> None:
        """Ask the launcher for a launch."""
        assert self._link is not None, "a group was created"
        self._live.add(number, launch)
        request = {
            "id": number,
            "zygote": isinstance(launch, ZygoteLaunch),
            "slot": launch.slot,
            "level": level,
            "spec": spec.to_document(),
            "descriptors": len(launch.handed_over),
            "leased": lease is not None,
        }
        try:
            await self._link.send(request, launch.handed_over)
        except BaseException as error:  # nothing was sent
            self._live.end(
                number, End(error=error if isinstance(error, SandboxError) else LauncherError("not launched"))
            )
            raise
        finally:
            launch.close_far_ends()

    def _on_message(self, message: Message, descriptors: list[int]) -> None:
        match message:
            case {"started": int(number), "walls": str(walls)} if number in self._live:
                launch = self._live[number]
                assert not isinstance(launch, WarmLaunch), "the launcher was not asked for it"
                walls = f"{walls}; limits: {self._groups.description if self._groups else _NO_GROUPS}"
                # Where this process has no descriptor left, the kernel has dropped the pidfd.
                launch.started(descriptors.pop() if descriptors else -1, walls)
            case {"ended": int(number), "cpu_time_s": cpu_time_s, "peak_bytes": peak_bytes} if number in self._live:
                self._live.end(number, End(cpu_time_s, peak_bytes))
            case {"refused": int() | None as number, "step": str(step), "reason": str(reason), "errno": errno}:
                self._live.end(number or 0, End(error=SetupError(step, reason, errno)))
            case _:
                raise LauncherError("the launcher sent an unknown message")

    def _on_death(self) -> None:
        self._is_dead = True
        self._ending = asyncio.create_task(self._live.end_when_dead())


def _abandon(confined: Confined) -> None:
    """Kill an attempt that no caller gets."""
    confined.kill()
    os.close(confined.stdout)
    os.close(confined.stderr)
