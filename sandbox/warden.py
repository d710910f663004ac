"""The warden of one zygote: PID 1 of the zygote's namespaces, and trusted. Makes cells, and takes all down.

    runner ──"build", with the far end of a line──► warden ──clone──► cell (PID 1 of an attempt's namespaces)
                                                      └──fork──► zygote ──fork──► inmate, in the cell

What becomes of an attempt is between the runner, the cell and the zygote; see `cell`. To the runner the warden says
whether attempts can be forked from its zygote (`ready`, or `unfit` with the reason), and that their lease is over.

It ends, and with it by the kernel's hand the zygote and all cells, when the runner closes its socket or dies, when the
launcher dies, when the zygote ends, and when the lease that it was launched under is over. What the zygote says is
taken as what a task says: it may be wrong, and then it is wrong about its own attempts.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from sandbox import cell, descriptors, messages, syscalls
from sandbox.attempt import Attempt
from sandbox.errors import SetupError
from sandbox.lease import Watch
from sandbox.messages import CrowdedError
from sandbox.zygote import become_zygote

_REASON_CHARS = 200


def guard(attempt: Attempt) -> NoReturn:
    """Fork the zygote, and serve the runner. What the supervisor of a zygote does; never returns, may raise."""
    syscalls.set_process_name(b"isolane-warden")
    runner = socket.socket(fileno=attempt.control)
    attempt.stdout = attempt.stderr = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    zygote, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()  # its first, so the zygote has a pid that no attempt ever has: see `cell`
    if pid == 0:
        attempt.channel = attempt.control = far.detach()
        become_zygote(attempt)
    far.close()
    Warden(attempt, runner, zygote).serve(pid)
    os._exit(0)


class Warden:
    """See the module."""

    def __init__(self, attempt: Attempt, runner: socket.socket, zygote: socket.socket) -> None:
        self._attempt, self._runner, self._zygote = attempt, runner, zygote

    def serve(self, zygote: int) -> None:
        """Serve until nobody wants it any more, or its zygote has ended."""
        child_ended = syscalls.signalfd({signal.SIGCHLD})
        lease = Watch(self._attempt.lease) if self._attempt.lease is not None else None
        handlers: dict[int, Callable[[], bool]] = {
            self._zygote.fileno(): self._on_zygote,  # before its end: this may be why
            child_ended: lambda: self._on_child(child_ended, zygote),
            self._runner.fileno(): self._on_request,
            self._attempt.life: lambda: False,
        }
        if lease is not None:
            handlers[lease.timer] = lambda: self._on_time(lease)
        descriptors.keep_only([*handlers, self._attempt.lock])
        poller = select.poll()
        for descriptor in handlers:
            poller.register(descriptor, 0 if descriptor == self._attempt.life else select.POLLIN)
        while True:
            events = dict(poller.poll())
            for descriptor, handle in handlers.items():
                if descriptor in events and not handle():
                    return

    def _on_request(self) -> bool:
        """Make a cell, and make it known to the zygote. What stands against it is said on the cell's own line."""
        received = messages.receive(self._runner)
        if received is None:
            return False
        _, given = received
        if len(given) != 1:
            return True  # no descriptor was left for the line: that it was closed says so
        line = socket.socket(fileno=given[0])
        link, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with line, link, far:
            try:
                if cell.make(self._attempt) == 0:
                    cell.serve(self._attempt, line, link)
                messages.send(self._zygote, {"cell": True}, [far.fileno()])
            except SetupError as error:
                messages.send(line, error.to_document())
            except ConnectionError:
                pass  # the zygote is dead, which is heard from elsewhere
            except CrowdedError as error:  # the cell has its link, and ends with that
                messages.send(line, SetupError.caused_by("cell", error).to_document())
        return True

    def _on_zygote(self) -> bool:
        received = messages.receive(self._zygote)
        if received is None:
            return False
        message, given = received
        for descriptor in given:  # it has none to give
            os.close(descriptor)
        if message == {"ready": True}:
            messages.send(self._runner, message)
            return True
        messages.send(self._runner, {"unfit": str(message.get("unfit"))[:_REASON_CHARS]})
        return False

    def _on_child(self, child_ended: int, zygote: int) -> bool:
        """Take leave of cells that have ended; without the zygote there is nothing left to do."""
        os.read(child_ended, 4096)
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == zygote:
                with contextlib.suppress(BlockingIOError):  # its inmates hold the other end as well
                    self._zygote.setblocking(False)
                    self._on_zygote()  # what it last said
                return False
            if pid == 0:
                return True

    def _on_time(self, lease: Watch) -> bool:
        if not lease.is_over():
            return True
        with contextlib.suppress(OSError):  # the runner is gone
            messages.send(self._runner, {"lease_over": True})
        return False
