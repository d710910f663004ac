"""A cell: the namespaces of one attempt of a zygote at a time, and the trusted process that holds them, their PID 1.

    cell ──"fork", with its namespaces──► zygote ──fork──► inmate: enters the cell, confines itself, waits at its door
      └──"standing", with the door──► runner ──what is an attempt's own──► the inmate, which becomes the attempt

Namespaces take the kernel longer to make and to take down than all else that an attempt is made of, so they serve one
attempt after another, of the same code under the same limits. That shows in none of them. Before the next one, every
process of the last is dead: the cell kills all that there is, waits, and asks the kernel whether it is alone; if it is
not, it ends, and everything goes down with it. System V objects go with the attempt, and so does scratch space, unless
nothing in it was ever changed. Mounts cannot have changed, since nothing in here has the right to. A network in which
no interface is up keeps nothing, so it serves again; one in which hosts were granted does not, and the cell ends with
its only attempt.

On the line to the runner, which no one else can write to: first `cell`, with a pidfd of it; then for each inmate
`standing`, with its door, a pidfd of it and the listeners of granted hosts, and `ended` when it and all that it started
are dead; or the step that failed. The runner kills an inmate by the pidfd. When it closes the line, the cell ends.

Attempts have the pids from 3 on: the zygote had the 2, and libraries tell by their pid that they were forked.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from typing import NoReturn

from sandbox import descriptors, messages, network, syscalls, untouched
from sandbox.attempt import Attempt, carry_out
from sandbox.contain_cell import CELL_STEPS, CLEAR_STEPS, ROOM_STEPS, TURN_STEPS, room_kinds
from sandbox.contain_task import with_landlock
from sandbox.door import STANDING, ask_for_fork, hear_exit, show_room
from sandbox.errors import SetupError

_REASON_CHARS = 200
_KINDS = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS


def make(attempt: Attempt) -> int:
    """Fork the process of a cell; 0 in that. Raises `SetupError`."""
    own_network = 0 if attempt.spec.shares_network else syscalls.CLONE_NEWNET
    try:
        return syscalls.clone(_KINDS | own_network)
    except OSError as error:
        raise SetupError.caused_by("namespaces", error) from error


def serve(attempt: Attempt, line: socket.socket, link: socket.socket) -> NoReturn:
    """What the process of a cell does, for attempts like `attempt`; `link` leads to the zygote. Never returns."""
    try:
        syscalls.set_process_name(b"isolane-cell")
        attempt.is_zygote = False  # what is confined here
        descriptors.keep_only((line.fileno(), link.fileno()))
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel takes the orphans of attempts off its hands
        itself = os.pidfd_open(os.getpid())
        messages.send(line, {"cell": True}, [itself])
        os.close(itself)
        endpoints = attempt.spec.endpoints()
        listeners = network.open_listeners(endpoints) if endpoints else []
        carry_out(CELL_STEPS, attempt)
        _use_up_a_pid()
        here = Cell(attempt, line, link, listeners)
        while here.host() and not listeners:
            pass
    except SetupError as error:
        messages.send(line, error.to_document())
    finally:
        os._exit(0)


def _use_up_a_pid() -> None:
    if syscalls.clone(0) == 0:
        os._exit(0)


class Cell:
    """See the module."""

    def __init__(
        self, attempt: Attempt, line: socket.socket, link: socket.socket, listeners: list[socket.socket]
    ) -> None:
        self._attempt, self._line, self._link = attempt, line, link
        self._listeners = listeners
        self._scratch = untouched.folders(attempt.shown_in_scratch)
        self._pristine: untouched.State | None = None  # of the scratch space that is there, while it serves again
        self._kept = [_open_namespace(kind) for kind in room_kinds(attempt)]

    def host(self) -> bool:
        """Serve one attempt, from the fork of its inmate to the end of all that it started; whether it came to stand.

        Raises `SetupError`.
        """
        if self._pristine is None:
            carry_out(ROOM_STEPS, self._attempt)
            rules = (self._attempt.file_rules,) if with_landlock(self._attempt) else ()
            show_room(self._link, [*self._kept, *rules])
        carry_out(TURN_STEPS, self._attempt)
        door, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        messages.tell_senders(door)
        with door:
            with far:
                ipc = _open_namespace("ipc")
                ask_for_fork(self._link, [far.fileno(), ipc])
                os.close(ipc)
            standing = self._until_standing(door)
            if isinstance(standing, int):
                if self._pristine is None:
                    self._pristine = untouched.state(self._scratch)
                given = [door.fileno(), standing, *(listener.fileno() for listener in self._listeners)]
                messages.send(self._line, {"standing": True}, given)
                for listener in self._listeners:
                    listener.close()  # with the relay, nobody listens any more
        self._wait(self._link.fileno())
        end = hear_exit(self._link)  # whatever the zygote tells, what is left is killed now
        self._clear()
        if isinstance(standing, SetupError):
            raise standing
        os.close(standing)
        messages.send(self._line, {"ended": True, **end._asdict()})
        return True

    def _until_standing(self, door: socket.socket) -> int | SetupError:
        """A pidfd of the inmate, or why there is none."""
        if door.fileno() not in self._wait(door.fileno(), self._link.fileno()):
            return SetupError("fork", "the zygote could not fork")
        said, given, sender = messages.receive_from(door)
        for descriptor in given:  # it has none to give
            os.close(descriptor)
        if said == STANDING:
            with contextlib.suppress(OSError):
                return os.pidfd_open(sender)
        return SetupError("fork", str(messages.parse(said).get("reason", "it ended"))[:_REASON_CHARS])

    def _clear(self) -> None:
        """Let nothing of the attempt be left: no process, nothing in scratch space."""
        _kill_all()
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, 0)
            os._exit(0)  # something that is no child of this process: the kernel kills it, and waits for its end
        if self._pristine is None or untouched.state(self._scratch) != self._pristine:
            self._pristine = None
            carry_out(CLEAR_STEPS, self._attempt)

    def _wait(self, *wanted: int) -> set[int]:
        """Wait for any of these descriptors; which are ready. No return when the runner has closed the line."""
        poller = select.poll()
        for descriptor in (self._line.fileno(), *wanted):
            poller.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poller.poll()}
        if self._line.fileno() in ready:
            os._exit(0)
        return ready


def _open_namespace(kind: str) -> int:
    return os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def _kill_all() -> None:
    """Kill everything in this pid namespace but the caller, which is its PID 1: all at once, so nothing gets away."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
