"""A standby: what a zygote forks ahead of need. It confines itself, waits, and becomes the next attempt.

A page that is written to after a fork has to be copied first, and most of an attempt's time goes into that: to use an
object is to write to it (its reference count), and each further object may lie on a further page. So everything that
can be is made ahead, in the zygote, and a standby only makes a few prepared calls.

It needs no parent-death signal: its init ends when it is no longer needed, and everything in the pid namespace with it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sys
from collections.abc import Sequence
from typing import NoReturn

from sandbox.errors import SetupError
from sandbox.inner.attempt import CHANNEL_DESCRIPTOR, Attempt
from sandbox.inner.task import look_up, run
from sandbox.inner.task_steps import with_filter, with_landlock
from sandbox.kernel import landlock, rlimits, rootfs, seccomp, syscalls
from sandbox.kernel.syscalls import Prepared, checked
from sandbox.protocol import messages, standby_messages
from sandbox.protocol.channel import Channel

#: Where a standby has its control socket.
_CONTROL_DESCRIPTOR = CHANNEL_DESCRIPTOR + 1
#: Steps in order: their names, and the call that each is.
Confinement = Sequence[tuple[str, Prepared]]


def confinement(attempt: Attempt) -> Confinement:
    """How a standby confines itself ahead of need."""
    steps = [
        # A new open file: processes that share one can change its flags and its owner.
        ("stdin", syscalls.prepared("close", 0)),
        ("stdin", syscalls.prepared("open", b"/dev/null", os.O_RDONLY)),
        ("session", syscalls.prepared("setsid")),
        ("home", syscalls.prepared("chdir", os.fsencode(rootfs.SCRATCH[0]))),
        ("capabilities", syscalls.capabilities_call(0)),
    ]
    if with_landlock(attempt):
        steps.append(("landlock", landlock.enforcing(attempt.file_rules)))
    if with_filter(attempt):
        steps.append(("seccomp", syscalls.filter_call(seccomp.entering_denied())))
    return steps


class Standby:
    """What all standbys of a zygote have in common, made ahead, in the zygote. Its channel is a socket."""

    def __init__(self, attempt: Attempt) -> None:
        self._entry = attempt.spec.entry
        self._files = rlimits.of_files(attempt.spec.limits.open_files)
        self._channel = Channel(_unix_socket(CHANNEL_DESCRIPTOR))
        os.dup2(CHANNEL_DESCRIPTOR, _CONTROL_DESCRIPTOR, inheritable=False)  # reserves the number
        self._control = _unix_socket(_CONTROL_DESCRIPTOR)
        numpy = sys.modules.get("numpy.random")
        self._seed = None if numpy is None else numpy.seed
        if self._entry.partition(":")[0] in sys.modules:
            with contextlib.suppress(AttributeError):  # the attempt raises it
                look_up(self._entry)

    def stand_by(self, own_control: int, confinement: Confinement) -> NoReturn:
        """What the process does: confine itself, take its channel and pipes, wait, and become the attempt."""
        step = "control socket"
        try:
            os.dup2(own_control, _CONTROL_DESCRIPTOR, inheritable=False)
            if self._seed is not None:
                self._seed()
            for step, call in confinement:
                checked(call(), step)
            self._control.send(standby_messages.STANDING)
            if given := standby_messages.take_over(self._control):
                channel, stdout, stderr = given
                step = "descriptors"
                # The given descriptors have higher numbers than these, which the zygote has reserved.
                os.dup2(channel, CHANNEL_DESCRIPTOR, inheritable=False)
                os.dup2(stdout, 1)
                os.dup2(stderr, 2)
                resource.setrlimit(resource.RLIMIT_NOFILE, self._files)
                if name := standby_messages.await_call(self._control):
                    syscalls.set_process_name(name)
                    syscalls.close_range(_CONTROL_DESCRIPTOR)  # the control socket, and all the numbers above
                    os._exit(run(self._entry, self._channel))
        except Exception as error:
            messages.send(self._control, SetupError.caused_by(step, error).to_document())
        finally:
            os._exit(1)


def _unix_socket(descriptor: int) -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=descriptor)
