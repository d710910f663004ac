"""A cell: fresh namespaces for one attempt of a zygote, made by the warden, mostly ahead of need.

The process in it, PID 1 of its pid namespace, lays out scratch space and /proc, hands the namespaces to the warden and
waits for its end, which is the end of everything in the cell. It runs nothing of the task, and the kernel takes the
orphans off its hands.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import NoReturn

from sandbox import descriptors, messages, network, syscalls
from sandbox.attempt import Attempt, carry_out
from sandbox.contain_cell import CELL_STEPS
from sandbox.errors import SetupError

_KINDS = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS | syscalls.CLONE_NEWIPC
_HANDED_OVER = ("pid", "mnt", "ipc")


def build(attempt: Attempt, warden: socket.socket, number: int) -> int:
    """Make a cell for attempts like `attempt`, and return the pid of the process in it.

    It sends on `warden` (the other end of which the caller has) its number with the descriptors of its namespaces, that
    of processes first, and of the listeners of granted hosts; or what stood against it. Raises `OSError`.
    """
    own_network = 0 if attempt.spec.shares_network else syscalls.CLONE_NEWNET
    pid = syscalls.clone(_KINDS | own_network)
    if pid == 0:
        _live_in(attempt, warden, number)
    return pid


def _live_in(attempt: Attempt, warden: socket.socket, number: int) -> NoReturn:
    try:
        endpoints = attempt.spec.endpoints()
        listeners = network.open_listeners(endpoints) if endpoints else []
        carry_out(CELL_STEPS, attempt)
        kinds = _HANDED_OVER if attempt.spec.shares_network else (*_HANDED_OVER, "net")
        namespaces = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        given = [*namespaces, *(listener.fileno() for listener in listeners)]
        messages.send(warden, {"cell": number, "namespaces": len(namespaces)}, given)
        syscalls.set_process_name("isolane-cell")
        descriptors.keep_only(())
        while True:
            signal.pause()
    except SetupError as error:
        messages.send(warden, {"cell": number, "step": error.step, "reason": error.reason, "errno": error.errno})
    finally:
        os._exit(0)
