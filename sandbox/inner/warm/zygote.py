"""The zygote: a confined process that has warmed up, and from which attempts are forked.

It is within the same walls as its attempts, and has two capabilities in its own user namespace that they do not have,
by which it enters (setns) the namespaces of the inits. It has imported code of the task, so its messages are not
trusted: it can harm its own attempts, and nobody else.

    zygote supervisor ──"init", a link to one──► zygote ◄──"namespaces", "fork"── init
       ◄──"ready" or "unfit" once────────────┘ └──fork──► standby, in the init: waits at the control socket
                                               └──────"exited", and how──► init

Randomness: a standby's pid in its init differs from the zygote's, so libraries that notice a fork by the pid (OpenSSL)
start anew. Python's `random` and numpy's global state are seeded anew. A generator that a module made for itself at
import is the same in every attempt.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

from sandbox.inner.attempt import CHANNEL_DESCRIPTOR, Attempt, carry_out
from sandbox.inner.calling import flush_streams
from sandbox.inner.task_steps import TASK_STEPS, with_landlock
from sandbox.inner.warm import fork_safety
from sandbox.inner.warm.standby import Confinement, Standby, confinement
from sandbox.inner.warm.standby_init_steps import entered_kinds
from sandbox.kernel import syscalls
from sandbox.protocol import messages, standby_messages


def become_zygote(attempt: Attempt) -> NoReturn:
    """Confine the caller, warm up, and fork attempts until its supervisor is gone. Never returns, never raises."""
    try:
        supervisor = socket.socket(fileno=os.dup(attempt.channel))
        carry_out(TASK_STEPS, attempt)
        supervisor.detach()
        supervisor = socket.socket(fileno=CHANNEL_DESCRIPTOR)
        os.close(attempt.control)
        unfit = _warm_up(attempt)
        if unfit:
            messages.send(supervisor, {"unfit": unfit})
        else:
            Zygote(attempt, supervisor).serve()
    except BaseException as error:
        messages.send(supervisor, {"unfit": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(0)


def _warm_up(attempt: Attempt) -> str:
    """Do the spec's warm-up; why attempts cannot be forked from the caller then, empty if they can."""
    assert attempt.spec.warm_up is not None
    scratch = fork_safety.scratch()
    module, _, function = attempt.spec.warm_up.entry.partition(":")
    try:
        unfit = getattr(import_module(module), function)(*attempt.spec.warm_up.arguments)
    except BaseException as error:
        return f"raised {type(error).__name__}: {error}"
    flush_streams()
    if isinstance(unfit, str) and unfit:
        return unfit
    return fork_safety.obstacle({0, 1, 2, CHANNEL_DESCRIPTOR}, scratch)


@dataclass(slots=True, eq=False)
class _Init:
    """An init as its zygote knows it."""

    link: socket.socket
    entered: Sequence[int] = ()  # the namespaces that its standbys enter, but what is new for each, and their rules
    confinement: Confinement = ()  # nothing while no standby can be forked


class Zygote:
    """The fork server of warm attempts."""

    def __init__(self, attempt: Attempt, supervisor: socket.socket) -> None:
        self._attempt = attempt
        attempt.is_zygote = False  # standbys are none
        self._supervisor = supervisor
        self._standby = Standby(attempt)
        self._inits: dict[int, _Init] = {}  # by the descriptor of the link
        self._children: dict[int, tuple[int, _Init]] = {}  # by pidfd: the pid, and its init
        self._poller = select.poll()
        self._kinds = len(entered_kinds(attempt))
        self._has_rules = with_landlock(attempt)
        gc.collect()
        gc.freeze()  # attempts share these pages as long as no collection writes to them

    def serve(self) -> None:
        """Fork what the inits ask for until the zygote supervisor is gone."""
        messages.send(self._supervisor, {"ready": True})
        self._poller.register(self._supervisor, select.POLLIN)
        while True:
            for descriptor, _ in self._poller.poll():
                if descriptor in self._children:
                    self._reap(descriptor)
                elif descriptor in self._inits:
                    self._obey(self._inits[descriptor])
                elif not self._add_init():
                    return

    def _add_init(self) -> bool:
        """Take the link to a new init; `False` if the zygote supervisor is gone."""
        received = messages.receive(self._supervisor)
        if received is None:
            return False
        for descriptor in received[1]:
            self._inits[descriptor] = _Init(socket.socket(fileno=descriptor))
            self._poller.register(descriptor, select.POLLIN)
        return True

    def _obey(self, init: _Init) -> None:
        asked, given = standby_messages.asked(init.link)
        if asked == standby_messages.FORK:
            try:
                self._fork(init, *given)
            except (OSError, TypeError):  # the kernel refuses, or no descriptors were left to receive these
                standby_messages.tell_not_forked(init.link)
            finally:
                _close_all(given)
            return
        _close_all(init.entered)
        init.entered = given
        if asked == standby_messages.NAMESPACES:
            self._prepare(init)
        else:
            self._poller.unregister(init.link)
            del self._inits[init.link.fileno()]
            init.link.close()

    def _prepare(self, init: _Init) -> None:
        """Prepare the calls of the init's standbys; none can be forked if a descriptor did not arrive."""
        init.confinement = ()
        if len(init.entered) == self._kinds + self._has_rules:
            if self._has_rules:
                self._attempt.file_rules = init.entered[-1]
            init.confinement = confinement(self._attempt)

    def _fork(self, init: _Init, own_control: int, ipc: int) -> None:
        if not init.confinement:
            raise OSError("there is nothing to enter")
        for namespace in init.entered[: self._kinds]:
            syscalls.setns(namespace, 0)
        syscalls.setns(ipc, 0)
        pid = os.fork()
        if pid == 0:
            self._standby.stand_by(own_control, init.confinement)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self._children[pidfd] = pid, init
        self._poller.register(pidfd, select.POLLIN)

    def _reap(self, pidfd: int) -> None:
        pid, init = self._children.pop(pidfd)
        _, status, usage = os.wait4(pid, 0)
        self._poller.unregister(pidfd)
        os.close(pidfd)
        standby_messages.tell_exit(init.link, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
