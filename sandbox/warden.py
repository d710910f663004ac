"""The warden of one zygote: PID 1 of the zygote's namespaces, and trusted. Builds cells, and takes all down.

    runner ──launch──► warden ──"build"──► builder ──clone──► cell (PID 1 of an attempt's namespaces)
                          ├──"fork"──► zygote ──fork──► inmate, in the cell
                          └──the attempt's descriptors──► inmate: now it is the attempt

A cell with an inmate, forked and confined, is kept ready ahead of need. The warden answers the runner as the launcher
does: `started` with a pidfd of the cell, `ended` once everything in the cell is dead, or `refused`; and once `ready`,
or `unfit` with the reason. What is particular to an attempt goes over its control socket, as with a supervisor.

It ends, and with it by the kernel's hand the zygote and all cells, when the runner closes its socket or dies, when the
launcher dies, when the zygote ends, and when the lease that it was launched under is over. What the zygote says is
taken as what a task says: it may be wrong, and then it is wrong about its own attempts.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from sandbox import cell, descriptors, messages, network, report, syscalls
from sandbox.attempt import Attempt
from sandbox.errors import SetupError, WireError
from sandbox.lease import Watch
from sandbox.zygote import become_zygote

_BUILT_AHEAD = 1
#: So many inmates in a row that ended before they were needed are the zygote's fault.
_MOST_LOST = 5
_OF_A_REPORT = ("exit_code", "signal", "lease_over", "step", "reason", "errno")


@dataclass(slots=True)
class _Cell:
    """A cell, from its beginning on.

    Attributes:
        number: by which the zygote knows its inmate.
        pid: of the process that holds it, 0 until that is known.
        door: over which its inmate gets what is an attempt's own; `None` until there is one.
        listeners: of granted hosts.
        namespaces: kept until its end was told, since the kernel takes its time to take them down.
        launch: what is executed in it, `None` while it is spare.
        exit: how its inmate ended, as far as the zygote told.
    """

    number: int
    pid: int = 0
    door: socket.socket | None = None
    listeners: list[int] = field(default_factory=list)
    namespaces: list[int] = field(default_factory=list)
    launch: int | None = None
    control: int = -1
    exit: messages.Message = field(default_factory=dict)


def guard(attempt: Attempt) -> NoReturn:
    """Fork builder and zygote, and serve the runner. What the supervisor of a zygote does; never returns, may raise."""
    syscalls.set_process_name("isolane-warden")
    runner = socket.socket(fileno=attempt.control)
    attempt.stdout = attempt.stderr = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    cells, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # The builder takes the pid that every attempt has in its own cell: the zygote must have another one, by which
    # libraries notice that they were forked.
    builder = os.fork()
    if builder == 0:
        cell.build_cells(attempt, far)
    far.close()
    messages.tell_senders(cells)
    zygote, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        cells.close()
        attempt.channel = attempt.control = far.detach()
        become_zygote(attempt)
    far.close()
    Warden(attempt, runner, cells, zygote).serve(builder, pid)
    os._exit(0)


class Warden:
    """See the module."""

    def __init__(self, attempt: Attempt, runner: socket.socket, cells: socket.socket, zygote: socket.socket) -> None:
        self._attempt = attempt
        self._runner, self._builder, self._zygote = runner, cells, zygote
        self._numbers = itertools.count(1)
        self._cells: dict[int, _Cell] = {}
        self._spare: deque[_Cell] = deque()
        self._asked: deque[tuple[messages.Message, list[int]]] = deque()
        self._lost = 0
        self._ready = False

    def serve(self, builder: int, zygote: int) -> None:
        """Serve until nobody wants it any more, or one of its children has ended that must not."""
        self._builder_pid, self._zygote_pid = builder, zygote
        child_ended = syscalls.signalfd({signal.SIGCHLD})
        lease = Watch(self._attempt.lease) if self._attempt.lease is not None else None
        sockets = (self._runner, self._builder, self._zygote)
        kept = [self._attempt.life, self._attempt.lock, child_ended, *(each.fileno() for each in sockets)]
        descriptors.keep_only(kept if lease is None else [*kept, lease.timer])
        for each in sockets:
            each.setblocking(False)
        self._poller = select.poll()
        handlers: dict[int, Callable[[], bool]] = {
            self._zygote.fileno(): self._on_zygote,  # before the ends of children, of which it may have told
            self._builder.fileno(): self._on_builder,
            child_ended: lambda: self._on_child(child_ended),
            self._runner.fileno(): self._on_request,
        }
        if lease is not None:
            handlers[lease.timer] = lambda: self._on_time(lease)
        for descriptor in handlers:
            self._poller.register(descriptor, select.POLLIN)
        self._poller.register(self._attempt.life, 0)
        handlers[self._attempt.life] = lambda: False
        self._build()
        while True:
            events = dict(self._poller.poll())
            for descriptor, handle in handlers.items():
                if descriptor in events and not handle():
                    return
            for here in list(self._cells.values()):
                if here.control in events:
                    self._on_control(here)
                elif here.launch is None and here.door is not None and here.door.fileno() in events:
                    self._on_door(here)

    def _build(self) -> None:
        """Have as many cells built as there are too few."""
        free = sum(each.launch is None and not each.exit for each in self._cells.values())
        for _ in range(free, _BUILT_AHEAD + len(self._asked)):
            number = next(self._numbers)
            self._cells[number] = _Cell(number)
            messages.send(self._builder, {"build": number})

    def _on_request(self) -> bool:
        received = messages.receive(self._runner)
        if received is None:
            return False
        request, given = received
        if len(given) != request["descriptors"]:
            return self._refuse(request, given, SetupError("launch", "too many open files in the warden"))
        self._asked.append((request, given))
        self._move_in()
        self._build()
        return True

    def _move_in(self) -> None:
        """Make attempts of the inmates that there are, as far as any are asked for."""
        while self._asked and self._spare:
            request, given = self._asked.popleft()
            here = self._spare.popleft()
            control, *others = given
            here.launch, here.control = request["id"], control
            if here.listeners:
                network.hand_out(control, [socket.socket(fileno=each) for each in here.listeners])
            assert here.door is not None, "it is spare"
            try:
                messages.send(here.door, {"name": request["name"]}, given)
            except OSError:  # its inmate is dead: the runner changed its mind, or what was imported ended it
                os.kill(here.pid, signal.SIGKILL)
            here.door.close()
            os.set_blocking(control, False)
            pidfd = os.pidfd_open(here.pid)
            messages.send(self._runner, {"started": here.launch}, [pidfd])
            for descriptor in (pidfd, *others):
                os.close(descriptor)
            self._poller.register(control, select.POLLIN)

    def _refuse(self, request: messages.Message, given: list[int], error: SetupError) -> bool:
        for descriptor in given:
            os.close(descriptor)
        refusal = {"refused": request["id"], "step": error.step, "reason": error.reason, "errno": error.errno}
        messages.send(self._runner, refusal)
        return True

    def _on_builder(self) -> bool:
        """A cell stands: have the zygote put an inmate into it. Or none could be made."""
        received = messages.receive_from(self._builder)
        if received is None:
            return False
        message, given, sender = received
        match message:
            case {"cell": number, "namespaces": count}:
                built = self._cells[number]
                built.pid = sender
                built.namespaces, built.listeners = given[:count], given[count:]
                built.door, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                with far:
                    self._tell_zygote({"fork": number}, [far.fileno(), *built.namespaces])
                self._poller.register(built.door, select.POLLIN)
            case {"failed": number, "step": step, "reason": reason, "errno": errno}:
                # Where namespaces were refused there is no process; where a step failed, it is about to end.
                self._cells[number].pid, self._cells[number].exit = sender, message
                if sender == self._builder_pid:
                    del self._cells[number]
                if not self._asked:
                    return False
                self._refuse(*self._asked.popleft(), SetupError(step, reason, errno))
        return True

    def _on_door(self, here: _Cell) -> None:
        """An inmate stands, or does not."""
        assert here.door is not None, "it was heard"
        self._poller.unregister(here.door)
        message, _ = messages.receive(here.door) or ({}, [])
        if message == {"standing": True}:
            self._spare.append(here)
            self._move_in()
        else:
            here.exit = message or {"exited": here.number}
            os.kill(here.pid, signal.SIGKILL)
            if self._asked:
                reason = str(message.get("reason", "it ended"))[:200]
                self._refuse(*self._asked.popleft(), SetupError("a fork of the zygote", reason))

    def _on_zygote(self) -> bool:
        received = messages.receive(self._zygote)
        if received is None:
            return False
        message, given = received
        for descriptor in given:  # it has none to give
            os.close(descriptor)
        match message:
            case {"exited": int(number)} if number in self._cells:
                return self._on_exit(self._cells[number], message)
            case {"exited": _}:
                return True
            case {"ready": True}:
                self._ready = True
                messages.send(self._runner, {"ready": True})
                return True
        messages.send(self._runner, {"unfit": str(message.get("unfit"))[:200]})
        return False

    def _tell_zygote(self, message: messages.Message, given: Sequence[int] = ()) -> None:
        with contextlib.suppress(ConnectionError):  # it is dead, which is heard from elsewhere
            messages.send(self._zygote, message, given)

    def _on_exit(self, here: _Cell, message: messages.Message) -> bool:
        """An inmate has ended, and so the cell does; whether the zygote is still of use."""
        if not here.exit:
            here.exit = message
            self._report(here, message)
            os.kill(here.pid, signal.SIGKILL)
        if here in self._spare:
            self._spare.remove(here)
        self._lost = self._lost + 1 if here.launch is None else 0
        return self._lost < _MOST_LOST

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
                self._on_zygote()  # what it last said
                return False
            dead = next((each for each in self._cells.values() if each.pid == pid), None)
            if dead is None:
                return False  # it must not end: the builder, or the process of a cell that is not built yet
            self._bury(dead)

    def _bury(self, dead: _Cell) -> None:
        """The process of a cell is dead, and so everything in the cell."""
        del self._cells[dead.number]
        if dead in self._spare:
            self._spare.remove(dead)
        if dead.launch is None and dead.door is not None:
            with contextlib.suppress(KeyError):  # it has been heard already
                self._poller.unregister(dead.door)
            dead.door.close()
        if dead.launch is not None:
            self._poller.unregister(dead.control)
            os.close(dead.control)
            usage = {key: _number(dead.exit.get(key)) for key in ("cpu_time_s", "peak_bytes")}
            messages.send(self._runner, {"ended": dead.launch, **usage})
        for namespace in dead.namespaces:
            os.close(namespace)

    def _on_control(self, here: _Cell) -> None:
        try:
            word = os.read(here.control, 64)
        except BlockingIOError:
            return  # what there was to read was for one that ended, and had a descriptor of the same number
        except OSError:
            word = b""
        if word:
            self._tell_zygote({"terminate": here.number})
        else:
            os.kill(here.pid, signal.SIGKILL)

    def _on_time(self, lease: Watch) -> bool:
        if not lease.is_over():
            return True
        for each in self._cells.values():
            self._report(each, {"exit_code": None, "signal": None, "lease_over": True})
        return False

    def _report(self, here: _Cell, message: messages.Message) -> None:
        """Tell how an attempt ended, or did not begin, unless that is nothing that can be."""
        if here.launch is None:
            return
        said = json.dumps({key: message[key] for key in _OF_A_REPORT if key in message}).encode()
        try:
            report.read(said)
            os.write(here.control, said)
        except (WireError, OSError):
            pass  # then it is not known; or the runner is gone


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) else None
