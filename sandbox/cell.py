"""A cell: fresh namespaces for one attempt of a zygote, made mostly ahead of need.

    warden ──"build"──► builder ──clone──► the cell's process, a child of the warden, PID 1 of its pid namespace

Making namespaces takes the kernel longer than all else, so a process of its own does it, and the warden stays free to
watch. The cell's process lays out scratch space and /proc, hands the namespaces to the warden and waits for its end,
which is the end of everything in the cell. It runs nothing of the task, and the kernel takes the orphans off its hands.
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


def build_cells(attempt: Attempt, warden: socket.socket) -> NoReturn:
    """Make a cell for attempts like `attempt` for each message of the warden, which has its number as `build`.

    The cell's own process sends `cell` with the number and the descriptors of its namespaces, that of processes first,
    and of the listeners of granted hosts. Where something stood against it, `failed` is sent with the number and what
    it was, by that process or this one.
    """
    try:
        syscalls.set_process_name("isolane-builder")
        own_network = 0 if attempt.spec.shares_network else syscalls.CLONE_NEWNET
        descriptors.keep_only((warden.fileno(),))
        while (received := messages.receive(warden)) is not None:
            number = received[0]["build"]
            try:
                pid = syscalls.clone(_KINDS | own_network | syscalls.CLONE_PARENT)
            except OSError as error:
                _fail(warden, number, SetupError.caused_by("namespaces", error))
                continue
            if pid == 0:
                _live_in(attempt, warden, number)
    finally:
        os._exit(0)


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
        _fail(warden, number, error)
    finally:
        os._exit(0)


def _fail(warden: socket.socket, number: int, error: SetupError) -> None:
    messages.send(warden, {"failed": number, "step": error.step, "reason": error.reason, "errno": error.errno})
