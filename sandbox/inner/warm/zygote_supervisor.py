"""The zygote supervisor of one zygote: PID 1 of the zygote's namespaces, and trusted. Makes inits, and takes all down.

    runner ──"build", with the far end of a line──► zygote supervisor ──clone──► init (PID 1 of an attempt's namespaces)
                                                      └──fork──► zygote ──fork──► standby, in the init

What becomes of an attempt is between the runner, the init and the zygote; see `standby_init`. To the runner the zygote
supervisor says whether attempts can be forked from its zygote (`ready`, or `unfit` with the reason), and that their
lease is over.

It ends, and with it by the kernel's hand the zygote and all inits, when the runner closes its socket or dies, when the
launcher dies, when the zygote turns out unfit, and when the lease that it was launched under is over. When the zygote
ends later, attempts that were forked from it go on: the kernel makes this process their parent, which reaps them then.

What the zygote says is taken as what a task says: it may be wrong, and then it is wrong about its own attempts. Whether
it is fit to fork any is looked at from here as well (`fitness`), where no code of the spec was ever run.
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
    """Fork the zygote, and serve the runner. What the supervisor of a zygote does; never returns, may raise."""
    syscalls.set_process_name(b"isolane-zygote")
    runner = socket.socket(fileno=attempt.control)
    attempt.stdout = attempt.stderr = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    zygote, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    messages.take_no_descriptors(zygote)
    pid = os.fork()  # its first, so the zygote has a pid that no attempt ever has: see `init`
    if pid == 0:
        attempt.channel = attempt.control = far.detach()
        become_zygote(attempt)
    far.close()
    if not attempt.spec.shares_network:
        syscalls.unshare(syscalls.CLONE_NEWNET)  # one that an init may come back to: see `init_network`
    ZygoteSupervisor(attempt, runner, zygote, pid).serve()
    os._exit(0)


class ZygoteSupervisor:
    """See the module."""

    def __init__(self, attempt: Attempt, runner: socket.socket, zygote: socket.socket, pid: int) -> None:
        self._attempt, self._runner, self._zygote, self._pid = attempt, runner, zygote, pid
        self._is_ready = False
        zygote.setblocking(False)  # it may never read

    def serve(self) -> None:
        """Serve until nobody wants it any more, or its zygote is unfit."""
        child_ended = syscalls.signalfd({signal.SIGCHLD})
        lease = Watch(self._attempt.lease) if self._attempt.lease is not None else None
        handlers: dict[int, Callable[[], bool]] = {
            self._zygote.fileno(): self._on_zygote,  # before its end: this may be why
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
                poller.unregister(self._zygote)  # whatever it says from now on

    def _on_request(self) -> bool:
        """Make an init, and make it known to the zygote. What stands against it is said on the init's own line."""
        received = messages.receive(self._runner)
        if received is None:
            return False
        _, given = received
        if len(given) != 1:
            return True  # no descriptor was left for the line: that it was closed says so
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
                pass  # the zygote is dead, which is heard from elsewhere, or does not read
            except CrowdedError as error:  # the init has its link, and ends with that
                messages.send(line, SetupError.caused_by("init", error).to_document())
        return True

    def _on_zygote(self) -> bool:
        """Hear whether attempts can be forked from it, and look."""
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
        """Take leave of inits that have ended, and of what the zygote left; before that is ready, it is the end."""
        os.read(child_ended, 4096)
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return self._is_ready
            if pid == self._pid and not self._is_ready:
                with contextlib.suppress(BlockingIOError):  # its children may hold the other end as well
                    self._on_zygote()  # what it last said
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
