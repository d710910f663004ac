"""The zygote: a confined process that has warmed up, and from which attempts are forked.

It stands within all walls that its attempts stand in, and has two capabilities in its own user namespace that they have
not: to enter (setns) the cells of its warden. What is imported in it is the task's, so nobody trusts what it says: it
can harm its own attempts, and no one else.

    warden ──"cell" with a link to one──► zygote ◄──"room" with its namespaces, "fork"── cell
       ◄──"ready" or "unfit" once────────────┘ └──fork──► inmate, in the cell: waits at the door
                                               └──────"exited", and how──► cell

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
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

from sandbox.inner.attempt import CHANNEL_DESCRIPTOR, Attempt, carry_out
from sandbox.inner.task import flush_streams
from sandbox.inner.task_steps import TASK_STEPS, with_landlock
from sandbox.inner.warm import fork_safety
from sandbox.inner.warm.standby import Confinement, Inmate, confinement
from sandbox.inner.warm.standby_init_steps import room_kinds
from sandbox.kernel import syscalls
from sandbox.protocol import messages, standby_messages


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
class _Cell:
    """A cell, as its zygote knows it."""

    link: socket.socket
    room: Sequence[int] = ()  # the namespaces that its inmates enter, but what is new for each, and their rules
    confinement: Confinement = ()  # nothing while no inmate can be forked


class Zygote:
    """The fork server; see the module."""

    def __init__(self, attempt: Attempt, warden: socket.socket) -> None:
        self._attempt = attempt
        attempt.is_zygote = False  # what is forked from now on
        self._warden = warden
        self._inmate = Inmate(attempt)
        self._cells: dict[int, _Cell] = {}  # by the descriptor of the link
        self._children: dict[int, tuple[int, _Cell]] = {}  # by pidfd: the pid, and its cell
        self._poller = select.poll()
        self._kinds = len(room_kinds(attempt))
        self._has_rules = with_landlock(attempt)
        gc.collect()
        gc.freeze()  # attempts share these pages as long as no collection writes to them

    def serve(self) -> None:
        """Fork what the cells ask for until the warden is gone."""
        messages.send(self._warden, {"ready": True})
        self._poller.register(self._warden, select.POLLIN)
        while True:
            for descriptor, _ in self._poller.poll():
                if descriptor in self._children:
                    self._reap(descriptor)
                elif descriptor in self._cells:
                    self._obey(self._cells[descriptor])
                elif not self._add_cell():
                    return

    def _add_cell(self) -> bool:
        """Take the link to a new cell; `False` if the warden is gone."""
        received = messages.receive(self._warden)
        if received is None:
            return False
        for descriptor in received[1]:
            self._cells[descriptor] = _Cell(socket.socket(fileno=descriptor))
            self._poller.register(descriptor, select.POLLIN)
        return True

    def _obey(self, cell: _Cell) -> None:
        asked, given = standby_messages.asked(cell.link)
        if asked == standby_messages.FORK:
            try:
                self._fork(cell, *given)
            except (OSError, TypeError):  # the kernel refuses, or had no room for what was given
                standby_messages.tell_not_forked(cell.link)
            finally:
                _close_all(given)
            return
        _close_all(cell.room)
        cell.room = given
        if asked == standby_messages.ROOM:
            self._furnish(cell)
        else:
            self._poller.unregister(cell.link)
            del self._cells[cell.link.fileno()]
            cell.link.close()

    def _furnish(self, cell: _Cell) -> None:
        """Make ready what inmates of the cell will do; none can be forked where something of it did not arrive."""
        cell.confinement = ()
        if len(cell.room) == self._kinds + self._has_rules:
            if self._has_rules:
                self._attempt.file_rules = cell.room[-1]
            cell.confinement = confinement(self._attempt)

    def _fork(self, cell: _Cell, own_door: int, ipc: int) -> None:
        if not cell.confinement:
            raise OSError("there is nothing to enter")
        for namespace in cell.room[: self._kinds]:
            syscalls.setns(namespace, 0)
        syscalls.setns(ipc, 0)
        pid = os.fork()
        if pid == 0:
            self._inmate.live(own_door, cell.confinement)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self._children[pidfd] = pid, cell
        self._poller.register(pidfd, select.POLLIN)

    def _reap(self, pidfd: int) -> None:
        pid, cell = self._children.pop(pidfd)
        _, status, usage = os.wait4(pid, 0)
        self._poller.unregister(pidfd)
        os.close(pidfd)
        standby_messages.tell_exit(cell.link, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
