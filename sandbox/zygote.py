"""The zygote: a confined process that has warmed up, and from which attempts are forked.

It stands within all walls that its attempts stand in, and has two capabilities in its own user namespace that they have
not: to enter (setns) the cells of its warden. What is imported in it is the task's, so nobody trusts what it says: it
can harm its own attempts, and no one else.

    warden ──"cell" with a link to one──► zygote ◄──"fork" with the cell's namespaces── cell
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
import sys
from importlib import import_module
from typing import NoReturn

from sandbox import door, inheritance, messages, syscalls
from sandbox.attempt import CHANNEL_DESCRIPTOR, Attempt, carry_out
from sandbox.contain_cell import INMATE_STEPS, MOVE_IN_STEPS
from sandbox.contain_task import TASK_STEPS, with_landlock
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


class Zygote:
    """The fork server; see the module."""

    def __init__(self, attempt: Attempt, warden: socket.socket) -> None:
        self._inmate = attempt
        attempt.is_zygote = False  # what is forked from now on
        self._warden = warden
        self._links: dict[int, socket.socket] = {}  # by descriptor
        self._children: dict[int, socket.socket] = {}  # pid -> the link of its cell
        syscalls.set_signal_mask(1 << signal.SIGCHLD - 1)
        self._child_ended = syscalls.signalfd({signal.SIGCHLD})
        self._poller = select.poll()
        self._has_rules = with_landlock(attempt)
        gc.collect()
        gc.freeze()  # attempts share these pages as long as no collection writes to them

    def serve(self) -> None:
        """Fork what the cells ask for until the warden is gone."""
        messages.send(self._warden, {"ready": True})
        self._poller.register(self._warden, select.POLLIN)
        self._poller.register(self._child_ended, select.POLLIN)
        while True:
            for descriptor, _ in self._poller.poll():
                if descriptor == self._child_ended:
                    os.read(self._child_ended, 4096)
                    self._reap()
                elif descriptor in self._links:
                    self._obey(self._links[descriptor])
                elif not self._add_cell():
                    return

    def _add_cell(self) -> bool:
        """Take the link to a new cell; `False` if the warden is gone."""
        received = messages.receive(self._warden)
        if received is None:
            return False
        for link in map(_socket, received[1]):
            self._links[link.fileno()] = link
            self._poller.register(link, select.POLLIN)
        return True

    def _obey(self, link: socket.socket) -> None:
        given = door.asked_for_fork(link)
        if given is None:
            self._poller.unregister(link)
            del self._links[link.fileno()]
            link.close()
            return
        try:
            self._fork(link, *given)
        except (OSError, TypeError):  # the kernel refuses, or had no room for what was given
            door.tell_not_forked(link)
        finally:
            for descriptor in given:
                os.close(descriptor)

    def _fork(self, link: socket.socket, own_door: int, *given: int) -> None:
        namespaces = given
        if self._has_rules:
            namespaces, self._inmate.file_rules = given[:-1], given[-1]
        for namespace in namespaces:
            syscalls.setns(namespace, 0)
        pid = os.fork()
        if pid == 0:
            _wait_at(_socket(own_door), self._inmate)
        self._children[pid] = link

    def _reap(self) -> None:
        while self._children:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            link = self._children.pop(pid, None)
            if link is not None:
                door.tell_exit(link, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _socket(descriptor: int) -> socket.socket:
    return socket.socket(fileno=descriptor)


def _wait_at(own_door: socket.socket, attempt: Attempt) -> NoReturn:
    """Confine the caller, as far as that can be done ahead of an attempt, and become the first that comes."""
    try:
        _seed()
        carry_out(INMATE_STEPS, attempt)
        own_door.send(door.STANDING)
        if (taken := door.take_over(own_door)) is not None:
            attempt.name, (attempt.channel, attempt.stdout, attempt.stderr, *cgroups) = taken
            attempt.cgroups, attempt.control = tuple(cgroups), own_door.fileno()
            become_task(attempt, MOVE_IN_STEPS)
    except SetupError as error:
        messages.send(own_door, error.to_document())
    finally:
        os._exit(1)


def _seed() -> None:
    """Seed what was seeded when it was imported and does not notice a fork; `random` itself does."""
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()
