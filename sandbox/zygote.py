"""The zygote: a confined process that has warmed up, and from which attempts are forked.

It stands within all walls that its attempts stand in, and has two capabilities in its own user namespace that they have
not: to enter (setns) the cells that its warden built. What is imported in it is the task's, so nobody trusts what it
says: it can harm its own attempts, and no one else.

    warden ──"fork" with the cell's namespaces──► zygote ──fork──► inmate, in the cell: waits at the door
       ◄── "ready" or "unfit" once, later how each ended ──┘

Randomness: what is forked has a pid of its own in the cell, other than the zygote's, so that libraries which tell a
fork by it (OpenSSL) start anew; Python's `random` and numpy's global state are seeded anew. A generator that a module
made for itself at import is the same in every attempt.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from importlib import import_module
from typing import NoReturn

from sandbox import inheritance, messages, report, syscalls
from sandbox.attempt import CHANNEL_DESCRIPTOR, Attempt, carry_out
from sandbox.contain_cell import INMATE_STEPS, MOVE_IN_STEPS
from sandbox.contain_task import TASK_STEPS
from sandbox.errors import SetupError
from sandbox.task import become_task, flush_streams


def become_zygote(attempt: Attempt) -> NoReturn:
    """Confine the caller, warm up, and fork attempts until the warden is gone. Never returns, never raises."""
    try:
        warden = socket.socket(fileno=os.dup(attempt.channel))
        carry_out(TASK_STEPS, attempt)
        warden.detach()
        warden = socket.socket(fileno=CHANNEL_DESCRIPTOR)
        os.close(attempt.control)
        unfit = _warm_up(attempt)
        if unfit:
            messages.send(warden, {"unfit": unfit})
        else:
            Zygote(attempt, warden).serve()
    except BaseException as error:
        messages.send(warden, {"unfit": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(0)


def _warm_up(attempt: Attempt) -> str:
    """Do what the spec says; why attempts cannot be forked from what it left, empty if they can."""
    assert attempt.spec.warm_up is not None
    scratch = inheritance.scratch()
    module, _, function = attempt.spec.warm_up.entry.partition(":")
    try:
        getattr(import_module(module), function)(*attempt.spec.warm_up.arguments)
    except BaseException as error:
        return f"raised {type(error).__name__}: {error}"
    flush_streams()
    return inheritance.obstacle({0, 1, 2, CHANNEL_DESCRIPTOR}, scratch)


#: Of an inmate that could not be forked.
_NOT_BORN = {"step": "fork", "reason": "the zygote could not fork", "errno": None}


class Zygote:
    """The fork server; see the module."""

    def __init__(self, attempt: Attempt, warden: socket.socket) -> None:
        self._attempt = attempt
        self._warden = warden
        self._children: dict[int, int] = {}  # pid -> number
        syscalls.set_signal_mask(1 << signal.SIGCHLD - 1)
        self._child_ended = syscalls.signalfd({signal.SIGCHLD})
        gc.collect()
        gc.freeze()  # attempts share these pages as long as no collection writes to them

    def serve(self) -> None:
        """Fork what the warden asks for until it is gone."""
        messages.send(self._warden, {"ready": True})
        poller = select.poll()
        poller.register(self._warden, select.POLLIN)
        poller.register(self._child_ended, select.POLLIN)
        while True:
            for descriptor, _ in poller.poll():
                if descriptor == self._child_ended:
                    os.read(self._child_ended, 4096)
                    self._reap()
                elif not self._obey():
                    return

    def _obey(self) -> bool:
        received = messages.receive(self._warden)
        if received is None:
            return False
        request, given = received
        if "terminate" in request:
            for pid, number in self._children.items():
                if number == request["terminate"]:
                    os.kill(pid, signal.SIGTERM)  # not yet reaped, so the pid is still its own
            return True
        try:
            self._fork(request["fork"], given)
        except OSError:
            messages.send(self._warden, {"exited": request["fork"], **_NOT_BORN})
        finally:
            for descriptor in given:
                os.close(descriptor)
        return True

    def _fork(self, number: int, given: list[int]) -> None:
        door, processes, *namespaces = given
        syscalls.setns(processes, syscalls.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            _seed()
            self._attempt.is_zygote, self._attempt.cell = False, tuple(namespaces)
            _wait_at(socket.socket(fileno=door), self._attempt)
        self._children[pid] = number

    def _reap(self) -> None:
        while self._children:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            messages.send(
                self._warden,
                {
                    "exited": self._children.pop(pid, 0),
                    "exit_code": code if code >= 0 else None,
                    "signal": None if code >= 0 else -code,
                    "cpu_time_s": usage.ru_utime + usage.ru_stime,
                    "peak_bytes": usage.ru_maxrss * 1024,
                },
            )


def _wait_at(door: socket.socket, attempt: Attempt) -> NoReturn:
    """Confine the caller, as far as that can be done ahead of an attempt, and become the first that comes."""
    try:
        carry_out(INMATE_STEPS, attempt)
    except SetupError as error:
        messages.send(door, report.failure(error))
        os._exit(1)
    messages.send(door, {"standing": True})
    received = messages.receive(door)
    if received is None:
        os._exit(0)  # it is not needed any more
    request, given = received
    attempt.name = request["name"]
    attempt.control, attempt.channel, attempt.stdout, attempt.stderr, *cgroups = given
    attempt.cgroups = tuple(cgroups)
    become_task(attempt, MOVE_IN_STEPS)


def _seed() -> None:
    """Seed what was seeded when it was imported and does not notice a fork; `random` itself does."""
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()
