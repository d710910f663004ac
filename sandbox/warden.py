"""The warden of one zygote: PID 1 of the zygote's namespaces, and trusted. Builds cells, and takes all down.

    runner ──launch──► warden ──clone──► cell (PID 1 of an attempt's namespaces)
                          └──"fork"──► zygote ──fork──► attempt, in the cell

It answers the runner as the launcher does: `started` with a pidfd of the cell, `ended` once everything in the cell is
dead, or `refused`; and once `ready`, or `unfit` with the reason. What is particular to an attempt goes over its control
socket, as with a supervisor.

It ends, and with it by the kernel's hand the zygote and all cells, when the runner closes its socket or dies, when the
launcher dies, when the zygote ends, and when the lease that it was launched under is over. What the zygote says is
taken as what a task says: it may be wrong, and then it is wrong about its own attempts.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sandbox import cell, descriptors, messages, network, report, syscalls
from sandbox.attempt import Attempt
from sandbox.errors import SetupError, WireError
from sandbox.lease import Watch
from sandbox.zygote import become_zygote

_BUILT_AHEAD = 1
_OF_A_REPORT = ("exit_code", "signal", "lease_over", "step", "reason", "errno")


@dataclass(slots=True)
class _Cell:
    pid: int
    namespaces: list[int] = field(default_factory=list)  # empty until it is ready
    listeners: list[int] = field(default_factory=list)  # of granted hosts


@dataclass(slots=True)
class _Launch:
    """A launch that was asked for, and the cell that its attempt is in."""

    number: int
    name: str
    given: list[int]  # control, channel, stdout, stderr, cgroups
    cell: _Cell | None = None
    usage: dict[str, Any] = field(default_factory=dict)

    @property
    def control(self) -> int:
        return self.given[0]


def guard(attempt: Attempt) -> NoReturn:
    """Fork the zygote and serve the runner. What the supervisor of a zygote does; never returns, may raise."""
    syscalls.set_process_name("isolane-warden")
    runner = socket.socket(fileno=attempt.control)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    attempt.stdout = attempt.stderr = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    warden = Warden(attempt, runner, near)
    # The first cell takes the pid that every attempt has in its own cell: the zygote must have another one, by which
    # libraries notice that they were forked.
    warden.build_cell()
    zygote = os.fork()
    if zygote == 0:
        attempt.channel = attempt.control = far.detach()
        become_zygote(attempt)
    warden.serve(zygote)
    os._exit(0)


class Warden:
    """See the module."""

    def __init__(self, attempt: Attempt, runner: socket.socket, zygote: socket.socket) -> None:
        self._attempt = attempt
        self._runner, self._zygote = runner, zygote
        self._cells_near, self._cells_far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._numbers = 0
        self._building: dict[int, _Cell] = {}
        self._spare: deque[_Cell] = deque()
        self._asked: deque[_Launch] = deque()
        self._inmates: dict[int, _Launch] = {}
        self._ready = False

    def build_cell(self) -> None:
        """Make one more cell. Raises `OSError`."""
        self._numbers += 1
        self._building[self._numbers] = _Cell(cell.build(self._attempt, self._cells_far, self._numbers))

    def serve(self, zygote: int) -> None:
        """Serve until nobody wants it any more."""
        self._zygote_pid = zygote
        child_ended = syscalls.signalfd({signal.SIGCHLD})
        lease = Watch(self._attempt.lease) if self._attempt.lease is not None else None
        sockets = (self._runner, self._zygote, self._cells_near, self._cells_far)
        kept = [self._attempt.life, self._attempt.lock, child_ended, *(each.fileno() for each in sockets)]
        descriptors.keep_only(kept if lease is None else [*kept, lease.timer])
        for each in sockets:
            each.setblocking(False)
        self._poller = select.poll()
        handlers: dict[int, Callable[[], bool]] = {
            self._zygote.fileno(): self._on_zygote,  # before the ends of children, of which it may have told
            self._cells_near.fileno(): self._on_cell,
            child_ended: lambda: self._on_child(child_ended),
            self._runner.fileno(): self._on_request,
        }
        if lease is not None:
            handlers[lease.timer] = lambda: self._on_time(lease)
        for descriptor in handlers:
            self._poller.register(descriptor, select.POLLIN)
        self._poller.register(self._attempt.life, 0)
        handlers[self._attempt.life] = lambda: False
        while True:
            ahead = self._ready and len(self._spare) + len(self._building) < _BUILT_AHEAD
            events = dict(self._poller.poll(0 if ahead else None))
            if not events:
                self.build_cell()  # while there is nothing else to do
            for descriptor, handle in handlers.items():
                if descriptor in events and not handle():
                    return
            for launch in [each for each in self._inmates.values() if each.control in events]:
                self._on_control(launch)

    def _on_request(self) -> bool:
        received = messages.receive(self._runner)
        if received is None:
            return False
        request, given = received
        launch = _Launch(request["id"], request["name"], given)
        if len(given) != request["descriptors"]:
            return self._refuse(launch, SetupError("launch", "too many open files in the warden"))
        self._asked.append(launch)
        self._move_in()
        if len(self._building) < len(self._asked):
            try:
                self.build_cell()
            except OSError as error:
                return self._refuse(self._asked.pop(), SetupError.caused_by("namespaces", error))
        return True

    def _move_in(self) -> None:
        while self._asked and self._spare:
            launch = self._asked.popleft()
            launch.cell = self._spare.popleft()
            pidfd = os.pidfd_open(launch.cell.pid)
            messages.send(self._runner, {"started": launch.number}, [pidfd])
            os.close(pidfd)
            control, channel, stdout, stderr, *cgroups = launch.given
            if launch.cell.listeners:
                network.hand_out(control, [socket.socket(fileno=each) for each in launch.cell.listeners])
            request = {"fork": launch.number, "name": launch.name, "cgroups": len(cgroups)}
            mine = launch.cell.namespaces
            messages.send(self._zygote, request, [control, channel, stdout, stderr, *mine, *cgroups])
            for descriptor in (channel, stdout, stderr, *cgroups, *mine):
                os.close(descriptor)
            self._inmates[launch.number] = launch
            self._poller.register(control, select.POLLIN)

    def _refuse(self, launch: _Launch, error: SetupError) -> bool:
        for descriptor in launch.given:
            os.close(descriptor)
        refusal = {"refused": launch.number, "step": error.step, "reason": error.reason, "errno": error.errno}
        messages.send(self._runner, refusal)
        return True

    def _on_cell(self) -> bool:
        received = messages.receive(self._cells_near)
        assert received is not None, "this process holds the other end"
        message, given = received
        built = self._building.pop(message["cell"])
        if given:
            count = message["namespaces"]
            built.namespaces, built.listeners = given[:count], given[count:]
            self._spare.append(built)
            self._move_in()
        elif self._asked:
            error = SetupError(message["step"], message["reason"], message["errno"])
            self._refuse(self._asked.popleft(), error)
        return True

    def _on_zygote(self) -> bool:
        received = messages.receive(self._zygote)
        if received is None:
            return False
        message, given = received
        for descriptor in given:  # it has none to give
            os.close(descriptor)
        if "exited" in message or "failed" in message:
            launch = self._inmates.get(message["exited"] if "exited" in message else message["failed"])
            if launch is not None and launch.cell is not None and not launch.usage:
                launch.usage = message
                self._report(launch, message)
                os.kill(launch.cell.pid, signal.SIGKILL)
            return True
        self._ready = "ready" in message
        messages.send(self._runner, {"ready": True} if self._ready else {"unfit": str(message.get("unfit"))[:200]})
        return self._ready

    def _on_child(self, child_ended: int) -> bool:
        os.read(child_ended, 4096)
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._zygote_pid:
                return self._on_zygote() and False  # what it last said
            self._bury(pid)

    def _bury(self, pid: int) -> None:
        """The process of a cell is dead, and so everything in the cell."""
        for launch in list(self._inmates.values()):
            if launch.cell is not None and launch.cell.pid == pid:
                del self._inmates[launch.number]
                self._poller.unregister(launch.control)
                os.close(launch.control)
                usage = {key: _number(launch.usage.get(key)) for key in ("cpu_time_s", "peak_bytes")}
                messages.send(self._runner, {"ended": launch.number, **usage})

    def _on_control(self, launch: _Launch) -> None:
        try:
            word = os.read(launch.control, 64)
        except OSError:
            word = b""
        if word:
            messages.send(self._zygote, {"terminate": launch.number})
        elif launch.cell is not None:
            os.kill(launch.cell.pid, signal.SIGKILL)

    def _on_time(self, lease: Watch) -> bool:
        if not lease.is_over():
            return True
        for launch in self._inmates.values():
            self._report(launch, {"exit_code": None, "signal": None, "lease_over": True})
        return False

    def _report(self, launch: _Launch, message: dict[str, Any]) -> None:
        """Tell how an attempt ended, or did not begin, unless that is nothing that can be."""
        said = json.dumps({key: message[key] for key in _OF_A_REPORT if key in message}).encode()
        try:
            report.read(said)
            os.write(launch.control, said)
        except (WireError, OSError):
            pass  # then it is not known; or the runner is gone


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) else None
