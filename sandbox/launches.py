"""What is under way: an attempt that the launcher launches or an inmate becomes, or a zygote.

Each takes what it needs (sockets, pipes, a cgroup) before it is asked for, hands over the far ends, and holds the
others until all of it is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Sequence

from sandbox import cgroup
from sandbox.cells import Inmate
from sandbox.confined import Confined
from sandbox.door import hand_over
from sandbox.errors import LauncherError
from sandbox.lease import Lease
from sandbox.line import Line
from sandbox.messages import Message
from sandbox.report import End, Ended
from sandbox.spec import Spec
from sandbox.zygotes import Zygote


class AttemptLaunch:
    """An attempt that is launched by itself.

    Attributes:
        slot: the identity that it has on the host.
        handed_over: descriptors for the launcher.
        confined: what the caller of the launch gets.
    """

    dependents: Sequence[int] = ()

    def __init__(self, group: cgroup.Group | None, slot: int, lease: Lease | None) -> None:
        """Raises `OSError`, having taken nothing."""
        self.slot = slot
        with contextlib.ExitStack() as opened:
            control, far_control = _socket_pair(opened, socket.SOCK_SEQPACKET)
            self._ends = _Ends(opened)
            opened.pop_all()  # nothing failed: from here on they have owners
        self._ends.far.insert(0, far_control.detach())
        leases = () if lease is None else (lease.descriptor,)
        self.handed_over = [*self._ends.far, *leases, *(group.procs if group is not None else ())]
        self.confined = self._ends.confined(group, control)

    def close_far_ends(self) -> None:
        """They have been handed over, or never will be."""
        self._ends.close_far()

    @property
    def pidfd(self) -> int:
        """Of the process whose end is the end of all of it; -1 before it is known."""
        return self.confined.pidfd

    def started(self, pidfd: int, walls: str) -> None:
        """It has been forked."""
        self.confined.walls = walls
        self.confined.started(pidfd)

    def kill(self) -> None:
        """Kill all of it."""
        self.confined.kill()

    def ended(self, end: End) -> None:
        """All of it is dead."""
        self.confined.ended(end)


class WarmLaunch:
    """An attempt that an inmate becomes.

    Attributes:
        slot: `None`, since it has the identity of its zygote.
        confined: what the caller of the launch gets.
    """

    slot = None
    dependents: Sequence[int] = ()

    def __init__(self, number: int, group: cgroup.Group | None, zygote: Zygote, inmate: Inmate) -> None:
        """Raises `OSError`, having taken nothing."""
        self._number, self._zygote, self._inmate = number, zygote, inmate
        self._procs = group.procs if group is not None else ()
        with contextlib.ExitStack() as opened:
            self._ends = _Ends(opened)
            opened.pop_all()
        self.confined = self._ends.confined(group, inmate.door)
        self.confined.last_resort = zygote.end
        self.confined.walls = f"{zygote.walls}; warm"
        zygote.attempts[number] = self.confined

    def move_in(self, name: str) -> None:
        """Have the inmate become the attempt. Raises `LauncherError` if it is dead."""
        try:
            hand_over(self._inmate.door, name, [*self._ends.far, *self._procs])
        except ConnectionError as error:
            raise LauncherError("the process that was prepared for it has died") from error
        finally:
            self._ends.close_far()
        self.confined.moved_in(self._inmate.pidfd, self._inmate.listeners)

    @property
    def pidfd(self) -> int:
        """Of its process; what that started may end a little later."""
        return self.confined.pidfd

    def kill(self) -> None:
        """Kill all of it."""
        self.confined.kill()

    def ended(self, end: End) -> None:
        """All of it is dead."""
        self.confined.ended(end)
        self._zygote.ended(self._number)


class _Ends:
    """The channel and the pipes of an attempt: the near ends for the runner, the far ones for whom it launches."""

    def __init__(self, opened: contextlib.ExitStack) -> None:
        """`opened` closes them if something fails. Raises `OSError`."""
        self._channel, far_channel = _socket_pair(opened, socket.SOCK_STREAM)
        self._stdout, far_stdout = _pipe(opened)
        self._stderr, far_stderr = _pipe(opened)
        self.far = [far_channel.detach(), far_stdout, far_stderr]

    def confined(self, group: cgroup.Group | None, control: socket.socket) -> Confined:
        """Who owns the near ones from now on."""
        return Confined(group, control, self._channel, self._stdout, self._stderr)

    def close_far(self) -> None:
        """They have been handed over, or never will be."""
        while self.far:
            os.close(self.far.pop())


class ZygoteLaunch:
    """A zygote.

    Attributes:
        slot: the identity that it and its attempts have on the host.
        handed_over: descriptors for the launcher.
        zygote: what attempts are launched from.
        settled: "" once attempts can be forked from it, or why none can.
    """

    def __init__(
        self,
        spec: Spec,
        group: cgroup.Group,
        slot: int,
        lease: Lease | None,
    ) -> None:
        """Raises `OSError`, having taken nothing."""
        self.slot = slot
        self.pidfd = -1
        self.settled: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._group = group
        self._killed = self._lease_over = False
        line = Line(self._hear, self.kill)
        self.zygote = Zygote(spec, lease, line, self.kill)
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
        """Its warden has been forked."""
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

    def ended(self, end: End) -> None:
        """All of it is dead."""
        self.zygote.line.drain()
        self.zygote.ready = False
        self.zygote.cells.close()
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
                self.zygote.ready = True
                self._settle("")
            case {"unfit": str(why)}:
                # What was imported may have said it.
                self._settle("".join(each if each.isprintable() else " " for each in why).strip(" :"))
            case {"step": str(step), "reason": str(reason)}:
                self._settle(f"could not be confined: {step}: {reason}")
            case {"lease_over": True}:
                self._lease_over = True
            case _:
                raise LauncherError("a warden said what no warden says")

    def _settle(self, unfit: str) -> None:
        if not self.settled.done():
            self.settled.set_result(unfit)


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
