"""What is under way at the launcher or at a warden: an attempt, or a zygote.

Each takes what it needs (sockets, pipes, a cgroup) before it is asked for, hands over the far ends, and holds the
others until all of it is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable

from sandbox import cgroup
from sandbox.confined import Confined
from sandbox.errors import SandboxError
from sandbox.lease import Lease
from sandbox.line import Line
from sandbox.messages import Message
from sandbox.spec import Spec
from sandbox.zygotes import Zygote


class AttemptLaunch:
    """An attempt.

    Attributes:
        slot: the identity that it has on the host; `None` where it has that of its zygote.
        handed_over: descriptors for the process that launches it.
        confined: what the caller of the launch gets.
    """

    def __init__(self, number: int, group: cgroup.Group | None, parent: int | Zygote, lease: Lease | None) -> None:
        """`parent` is a slot or the zygote that it is forked from. Raises `OSError`, having taken nothing."""
        self.slot = parent if isinstance(parent, int) else None
        self._zygote = parent if isinstance(parent, Zygote) else None
        self._number = number
        with contextlib.ExitStack() as opened:
            control, far_control = _socket_pair(opened, socket.SOCK_SEQPACKET)
            channel, far_channel = _socket_pair(opened, socket.SOCK_STREAM)
            stdout, far_stdout = _pipe(opened)
            stderr, far_stderr = _pipe(opened)
            opened.pop_all()  # nothing failed: from here on they have owners
        self._far_ends = [far_control.detach(), far_channel.detach(), far_stdout, far_stderr]
        # The warden of a zygote has the lease already.
        leases = () if lease is None or self._zygote is not None else (lease.descriptor,)
        self.handed_over = [*self._far_ends, *leases, *(group.procs if group is not None else ())]
        self.confined = Confined(group, control, channel, stdout, stderr)
        if self._zygote is not None:
            self._zygote.attempts.add(number)
            self.confined.last_resort = self._zygote.end
            self.confined.walls = f"{self._zygote.walls}; warm"

    @property
    def dependents(self) -> list[int]:
        """Attempts that end with it."""
        return []

    def close_far_ends(self) -> None:
        """They have been handed over, or never will be."""
        while self._far_ends:
            os.close(self._far_ends.pop())

    @property
    def pidfd(self) -> int:
        """Of the process whose end is the end of all of it; -1 before it is known."""
        return self.confined.pidfd

    def started(self, pidfd: int, walls: str) -> None:
        """It has been forked."""
        self.confined.walls = self.confined.walls or walls
        self.confined.started(pidfd)

    def kill(self) -> None:
        """Kill all of it."""
        self.confined.kill()

    def ended(self, cpu_time_s: float | None, peak_bytes: int | None, error: SandboxError | None) -> None:
        """All of it is dead."""
        self.confined.ended(cpu_time_s, peak_bytes, error)
        if self._zygote is not None:
            self._zygote.ended(self._number)


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
        *,
        on_message: Callable[[Message, list[int]], None],
    ) -> None:
        """`on_message` gets what its warden says of attempts. Raises `OSError`, having taken nothing."""
        self.slot = slot
        self.pidfd = -1
        self.settled: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._group, self._on_message = group, on_message
        self._killed = False
        line = Line(self._hear, self.kill)
        self.zygote = Zygote(spec, lease, line, self.kill)
        leases = () if lease is None else (lease.descriptor,)
        self.handed_over = [line.far_end.fileno(), *leases, *group.procs]

    @property
    def dependents(self) -> list[int]:
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

    def ended(self, _cpu_time_s: float | None, _peak_bytes: int | None, error: SandboxError | None) -> None:
        """All of it is dead."""
        self.zygote.line.drain()
        self._settle(str(error or "ended"))
        self.zygote.ready = False
        self.zygote.line.close()
        self._group.remove()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def _hear(self, message: Message, descriptors: list[int]) -> None:
        match message:
            case {"ready": True}:
                self.zygote.ready = True
                self._settle("")
            case {"unfit": str(why)}:
                # What was imported may have said it.
                self._settle("".join(each if each.isprintable() else " " for each in why).strip(" :"))
            case {"step": str(step), "reason": str(reason)}:
                self._settle(f"could not be confined: {step}: {reason}")
            case {"started": number}:
                self._on_message({"started": number, "walls": ""}, descriptors)
            case {"ended": int(number)} if number in self.zygote.ended_early:
                self.zygote.ended_early.remove(number)
            case _:
                self._on_message(message, descriptors)

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
