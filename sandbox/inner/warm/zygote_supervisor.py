"""The zygote supervisor: PID 1 of one zygote's namespaces, and trusted. Makes inits, and takes everything down.

    runner ──"build", with the far end of a line──► zygote supervisor ──clone──► init (PID 1 of an attempt's namespaces)
                                                      └──fork──► zygote ──fork──► standby, in the init

The course of an attempt is settled between the runner, the init and the zygote (`standby_init`). The zygote supervisor
tells the runner whether attempts can be forked from its zygote (`ready`, or `unfit` with the reason), and when their
lease is over.

It ends when the runner closes its socket or dies, when the launcher dies, when the zygote turns out unfit, and when its
lease is over. Then the kernel kills the zygote and all inits. If the zygote ends later, attempts that were forked from
it go on: the kernel makes this process their parent, and it reaps them.

The zygote is trusted as little as a task: what it says may be wrong, but only about its own attempts. Whether it is fit
to fork any is checked from here as well (`zygote_fitness`), where no code of the spec was ever run.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from sandbox.errors import SetupError
from sandbox.inner.attempt import Attempt
from sandbox.inner.warm import standby_init, zygote_fitness
from sandbox.inner.warm.zygote import become_zygote
from sandbox.kernel import descriptors, syscalls
from sandbox.protocol import messages
from sandbox.protocol.lease import Watch
from sandbox.protocol.messages import CrowdedError

_REASON_CHARS = 200


def supervise_zygote(attempt: Attempt) -> NoReturn:
    """Fork the zygote, and serve the runner until the end. Never returns; may raise before the zygote is forked."""
    syscalls.set_process_name(b"isolane-zygote")
    runner = socket.socket(fileno=attempt.control)
    attempt.stdout = attempt.stderr = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    zygote, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    messages.take_no_descriptors(zygote)
    pid = os.fork()  # the first fork, so the zygote has pid 2, which no attempt has (`standby_init`)
    if pid == 0:
        attempt.channel = attempt.control = far.detach()
        become_zygote(attempt)
    far.close()
    if not attempt.spec.shares_network:
        syscalls.unshare(syscalls.CLONE_NEWNET)  # in which the inits stay (`network_traces`)
    ZygoteSupervisor(attempt, runner, zygote, pid).serve()
    os._exit(0)


class ZygoteSupervisor:
    """The process, once its zygote is forked."""

    def __init__(self, attempt: Attempt, runner: socket.socket, zygote: socket.socket, pid: int) -> None:
        self._attempt, self._runner, self._zygote, self._pid = attempt, runner, zygote, pid
        self._is_ready = False
        zygote.setblocking(False)  # it may never read

    def serve(self) -> None:
        """Serve until the runner or the launcher is gone, the lease is over, or the zygote is unfit."""
        child_ended = syscalls.signalfd({signal.SIGCHLD})
        lease = Watch(self._attempt.lease) if self._attempt.lease is not None else None
        handlers: dict[int, Callable[[], bool]] = {
            self._zygote.fileno(): self._on_zygote,  # before its end: a message may say why it ends
            child_ended: lambda: self._on_child(child_ended),
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
            if self._is_ready and self._zygote.fileno() in events:
                poller.unregister(self._zygote)  # nothing that it says later matters

    def _on_request(self) -> bool:
        """Make an init, and give the zygote a link to it. An error is reported on the init's own line."""
        received = messages.receive(self._runner)
        if received is None:
            return False
        _, given = received
        if len(given) != 1:
            return True  # no descriptor was left for the line, which the runner sees closed
        line = socket.socket(fileno=given[0])
        link, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        messages.take_no_descriptors(link)
        with line, link, far:
            try:
                if standby_init.make() == 0:
                    standby_init.serve(self._attempt, line, link)
                messages.send(self._zygote, {"init": True}, [far.fileno()])
            except SetupError as error:
                messages.send(line, error.to_document())
            except (ConnectionError, BlockingIOError):
                pass  # the zygote is dead, which SIGCHLD tells, or does not read
            except CrowdedError as error:  # the link is closed here, on which the init ends
                messages.send(line, SetupError.caused_by("init", error).to_document())
        return True

    def _on_zygote(self) -> bool:
        """Take in whether attempts can be forked from it, and check that."""
        received = messages.receive(self._zygote)
        if received is None:
            return False
        message, given = received
        for descriptor in given:  # it has none to give
            os.close(descriptor)
        unfit = zygote_fitness.obstacle(self._pid) if message == {"ready": True} else str(message.get("unfit"))
        self._is_ready = not unfit
        messages.send(self._runner, {"unfit": unfit[:_REASON_CHARS]} if unfit else {"ready": True})
        return self._is_ready

    def _on_child(self, child_ended: int) -> bool:
        """Reap inits that have ended, and orphans of the zygote; `False` if the zygote ended before it was ready."""
        os.read(child_ended, 4096)
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return self._is_ready
            if pid == self._pid and not self._is_ready:
                with contextlib.suppress(BlockingIOError):  # its children may still hold the other end
                    self._on_zygote()  # its last message
                return False
            if pid == self._pid:
                messages.send(self._runner, {"zygote_ended": True})
            if pid == 0:
                return True

    def _on_time(self, lease: Watch) -> bool:
        if not lease.is_over():
            return True
        with contextlib.suppress(OSError):  # the runner is gone
            messages.send(self._runner, {"lease_over": True})
        return False
