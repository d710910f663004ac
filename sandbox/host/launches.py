"""What a launch is: an attempt by itself, an attempt that a standby becomes, or a zygote.

Each makes what it needs (sockets, pipes, a cgroup) before the launcher is asked, hands over the far ends, and holds the
near ends until all of it is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Sequence

from sandbox.errors import LauncherError, printable
from sandbox.host.attempt_io import AttemptIO, socket_pair
from sandbox.host.cgroups import cgroup
from sandbox.host.links.line import Line
from sandbox.host.warm.standby_pool import StandbyHandle
from sandbox.host.warm.zygote_handle import ZygoteHandle
from sandbox.protocol.control_messages import End, Ended
from sandbox.protocol.lease import Lease
from sandbox.protocol.messages import Message
from sandbox.protocol.standby_messages import call
from sandbox.spec import Spec

_REASON_CHARS = 300


class AttemptLaunch:
    """An attempt that is launched by itself.

    Attributes:
        slot: the identity that it has on the host.
        handed_over: descriptors for the launcher.
        confined: what the caller of the launch gets.
    """

    dependents: Sequence[int] = ()

    def __init__(self, attempt_io: AttemptIO, slot: int, lease: Lease | None) -> None:
        """Raises `OSError`; nothing is left open then."""
        control, far_control = socket_pair(socket.SOCK_SEQPACKET)
        self.slot = slot
        self._attempt_io = attempt_io
        attempt_io.far.insert(0, far_control.detach())
        leases = () if lease is None else (lease.descriptor,)
        self.handed_over = [*attempt_io.far, *leases, *attempt_io.procs]
        self.confined = attempt_io.confined(control)

    def close_far_ends(self) -> None:
        """They have been handed over, or never will be."""
        self._attempt_io.close_far()

    @property
    def pidfd(self) -> int:
        """The pidfd of the supervisor; -1 before it is known."""
        return self.confined.pidfd

    def started(self, pidfd: int, walls: str) -> None:
        """It has been forked."""
        self.confined.walls = walls
        self.confined.started(pidfd)

    def lose(self, why: str) -> None:
        """Kill all of it, through no fault of the attempt."""
        self.confined.lose(why)

    def ended(self, end: End) -> None:
        """All of it is dead."""
        self.confined.ended(end)


class WarmLaunch:
    """An attempt that a standby becomes.

    Attributes:
        slot: `None`, since it has the identity of its zygote.
        confined: what the caller of the launch gets.
    """

    slot = None
    dependents: Sequence[int] = ()

    def __init__(self, number: int, zygote: ZygoteHandle, standby: StandbyHandle) -> None:
        self._number, self._zygote, self._standby = number, zygote, standby
        self._attempt_io = standby.attempt_io
        self.confined = standby.attempt_io.confined(standby.control)
        self.confined.last_resort = self._end_for_sure
        self.confined.walls = f"{zygote.walls}; warm"
        zygote.attempts[number] = self.confined

    def _end_for_sure(self) -> None:
        """It was killed, but its init does not report its end. Other attempts of the zygote go on."""
        self._standby.kill_init()
        self._zygote.dismiss("left what does not let its attempts end")

    def begin(self, name: str) -> None:
        """Have the standby become the attempt. Raises `LauncherError` if it is dead."""
        try:
            self._attempt_io.allow_memory(self._zygote.spec.limits.memory_bytes)
            call(self._standby.control, name)
        except ConnectionError as error:
            raise LauncherError("the process that was prepared for it has died") from error
        except OSError as error:
            raise LauncherError(f"its cgroup cannot be given its limit: {error.strerror}") from error
        self.confined.begun(self._standby.pidfd, self._standby.listeners)

    @property
    def pidfd(self) -> int:
        """The pidfd of the task; processes that it started may end a little later."""
        return self.confined.pidfd

    def lose(self, why: str) -> None:
        """Kill all of it, through no fault of the attempt."""
        self.confined.lose(why)

    def ended(self, end: End) -> None:
        """All of it is dead."""
        self.confined.ended(end)
        if self.confined.complaint:
            self._zygote.dismiss(f"left what has its attempts say: {self.confined.complaint}")
        self._zygote.ended(self._number)


class ZygoteLaunch:
    """A zygote.

    Attributes:
        slot: the identity that it and its attempts have on the host.
        handed_over: descriptors for the launcher.
        zygote: the zygote as its attempts are launched from it.
        settled: "" once attempts can be forked from it, or why none can.
    """

    def __init__(
        self,
        spec: Spec,
        group: cgroup.Group,
        slot: int,
        lease: Lease | None,
        provide: Callable[[], AttemptIO],
    ) -> None:
        """`provide` makes the channel, pipes and cgroup of an attempt. Raises `OSError`; nothing is left open then."""
        self.slot = slot
        self.pidfd = -1
        self.settled: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._group = group
        self._killed = self._lease_over = False
        line = Line(self._hear, self.kill)
        self.zygote = ZygoteHandle(spec, lease, line, group, provide)
        leases = () if lease is None else (lease.descriptor,)
        self.handed_over = [line.far_end.fileno(), *leases, *group.procs]

    @property
    def dependents(self) -> Sequence[int]:
        """Attempts that end with it."""
        return list(self.zygote.attempts)

    def close_far_ends(self) -> None:
        """They have been handed over, or never will be."""
        self.zygote.line.far_end.close()

    def started(self, pidfd: int, walls: str) -> None:
        """Its zygote supervisor has been forked."""
        self.pidfd, self.zygote.walls = pidfd, walls
        self.zygote.line.listen()
        if self._killed:
            self.kill()

    def kill(self) -> None:
        """Kill it, with all its attempts."""
        self._killed, self.zygote.ready = True, False
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def lose(self, _: str) -> None:
        """Kill it; its attempts are lost."""
        self.kill()

    def ended(self, end: End) -> None:
        """All of it is dead."""
        self.zygote.line.drain()
        self.zygote.over()
        if self._lease_over:
            for confined in self.zygote.attempts.values():
                confined.report(Ended(lease_over=True))
        self._settle(str(end.error or "ended"))
        self.zygote.line.close()
        self._group.remove()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def _hear(self, message: Message, _: list[int]) -> None:
        match message:
            case {"ready": True}:
                try:
                    self.zygote.warmed_up()
                except OSError as error:
                    self._settle(f"cannot be held to what it uses: {error.strerror}")
                else:
                    self._settle("")
            case {"unfit": str(why)}:
                # The text may come from a module that was imported.
                self._settle(printable(why.strip(" :"), _REASON_CHARS))
            case {"zygote_ended": True}:
                self.zygote.dismiss("made its zygote end")
            case {"step": str(step), "reason": str(reason)}:
                self._settle(f"could not be confined: {step}: {reason}")
            case {"lease_over": True}:
                self._lease_over = True
            case _:
                raise LauncherError("a zygote supervisor sent an unknown message")

    def _settle(self, unfit: str) -> None:
        if not self.settled.done():
            self.settled.set_result(unfit)
