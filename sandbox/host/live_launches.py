"""The launches of a sandbox that are under way, by number: each from the request until all of it is dead."""

from __future__ import annotations

import asyncio
import itertools

from sandbox.errors import LauncherError
from sandbox.host.launches import AttemptLaunch, WarmLaunch, ZygoteLaunch
from sandbox.host.links.line import until_readable
from sandbox.host.warm.zygote_handle import ZygoteHandle
from sandbox.protocol.control_messages import End

Launch = AttemptLaunch | WarmLaunch | ZygoteLaunch


class LiveLaunches:
    """The launches that are under way, by number."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._live: dict[int, Launch] = {}
        self._became_less = asyncio.Event()

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, number: object) -> bool:
        return number in self._live

    def __getitem__(self, number: int) -> Launch:
        return self._live[number]

    def new_number(self) -> int:
        """One that no launch has had."""
        return next(self._numbers)

    def free_slot(self) -> int:
        """The number of an identity on the host that none of them has."""
        slots = {launch.slot for launch in self._live.values()}
        return next(free for free in itertools.count() if free not in slots)

    def zygotes(self) -> list[ZygoteHandle]:
        """The zygotes of which anything is alive."""
        return [launch.zygote for launch in self._live.values() if isinstance(launch, ZygoteLaunch)]

    def add(self, number: int, launch: Launch) -> None:
        """Take in a launch that is under way from now on."""
        self._live[number] = launch

    def end(self, number: int, end: End) -> None:
        """This launch has ended, and so have those that depend on it."""
        launch = self._live.pop(number, None)
        if launch is not None:
            launch.ended(end)
            for other in launch.dependents:
                self.end(other, End(error=LauncherError("the zygote that it was forked from has ended")))
            self._became_less.set()

    async def kill_all(self) -> None:
        """Kill all launches, which is not counted as their own failure, and wait until all of it is dead."""
        for launch in self._live.values():
            launch.lose("it was killed since its sandbox was closed")
        while self._live:
            self._became_less = asyncio.Event()  # of this loop; the next start may be on another
            await self._became_less.wait()

    async def end_when_dead(self) -> None:
        """The launcher is gone, so the kernel kills what it launched: end each launch once it is dead."""
        for number, launch in list(self._live.items()):
            if launch.pidfd >= 0:
                await until_readable(launch.pidfd)
            self.end(number, End(error=LauncherError("the launcher died; everything that it had launched is dead")))
