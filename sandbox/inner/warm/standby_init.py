"""A standby's init: the trusted PID 1 of the namespaces in which one attempt of a zygote at a time runs.

    init ──"fork", with its namespaces──► zygote ──fork──► standby: enters them, confines itself, waits
      └──"standing", with its control socket──► runner ──channel and pipes──► the standby becomes the attempt

The kernel takes longer to make and take down namespaces than for all the rest of an attempt. So they serve one attempt
after another, of the same code under the same limits, and no attempt can see that. Before the next one, every process
of the last is dead: the init kills everything, waits, and asks the kernel whether it is alone. If it is not, it ends,
and the kernel takes everything down. What else an attempt could leave, kind by kind:

    pid      processes: killed. The next pid tells how many there were; nothing else does.
    mnt      scratch space is made anew once anything in it was changed (`scratch_changes`). Everything else is
             read-only, and no process in here has the right to mount.
    net      made anew once a counter in it moved or a socket is left (`network_traces`); with granted hosts it serves
             once, and so does the init.
    ipc      new for each attempt.
    uts, user, cgroup, time
             no process in here has the right to change anything of them.
    memory and attributes of processes
             an attempt is forked from the zygote, which existed before it and runs nothing for it. The init has the
             attempt's user, so the filter denies the calls that would change process 1 by its pid; its /proc is
             read-only, and signals to it are ignored, so that none stays pending.
    open files
             all are the attempt's own: 0 is opened by the standby, 1 to 3 are given to it, others are closed. A zygote
             that holds writable shared memory is refused (`zygote_fitness`).
    cgroup   renewed before it serves again (`host.cgroups.pool`).

The init puts the standby into the attempt's cgroup before it reports it to the runner. The standby does not do that
itself: it is forked from a zygote, which has run code of the spec. Then the init checks, by the last pid given,
that no other process was made in these namespaces. So everything that an attempt ever starts is counted as its own;
until then the zygote's cgroup counts.

On the line to the runner, to which no other process can write: first `init`, with a pidfd of the init; then for each
standby `standing`, with its control socket, a pidfd of it and the listeners of granted hosts, and `ended` when it and
all that it started are dead; or the step that failed. The runner gives the cgroup of each standby, and kills it by the
pidfd. When the runner closes the line, the init ends.

Attempts have pids from 3 on. The zygote has pid 2 in its own namespace, and libraries notice a fork by a changed pid.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from typing import NoReturn

from sandbox.errors import SetupError, printable
from sandbox.inner.attempt import Attempt, carry_out
from sandbox.inner.task_steps import with_landlock
from sandbox.inner.warm import scratch_changes
from sandbox.inner.warm.network_traces import NetworkTraces
from sandbox.inner.warm.standby_init_steps import CLEAR_STEPS, INIT_STEPS, SCRATCH_STEPS, TURN_STEPS, entered_kinds
from sandbox.kernel import descriptors, syscalls
from sandbox.protocol import messages
from sandbox.protocol.standby_messages import STANDING, Exit, ask_for_fork, give_namespaces, hear_exit, take_group

_REASON_CHARS = 200
_REAP_S = 5.0
_KINDS = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS


def make() -> int:
    """Fork the process of an init; 0 in that. Raises `SetupError`."""
    try:
        return syscalls.clone(_KINDS)
    except OSError as error:
        raise SetupError.caused_by("namespaces", error) from error


def serve(attempt: Attempt, line: socket.socket, link: socket.socket) -> NoReturn:
    """What an init does, for attempts like `attempt`; `link` leads to the zygote. Never returns."""
    try:
        syscalls.set_process_name(b"isolane-init")
        attempt.is_zygote = False  # what is confined here
        descriptors.keep_only((line.fileno(), link.fileno()))
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the orphans of attempts
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python sets a handler
        syscalls.set_signal_mask(0)  # a PID 1 without handlers gets no signals; blocked, they would stay pending
        itself = os.pidfd_open(os.getpid())
        messages.send(line, {"init": True}, [itself])
        os.close(itself)
        carry_out(INIT_STEPS, attempt)
        _use_up_a_pid()
        here = StandbyInit(attempt, line, link)
        while here.serve_once() and not attempt.spec.endpoints():
            pass
    except SetupError as error:
        messages.send(line, error.to_document())
    except ConnectionError:
        pass  # the zygote is dead, or the runner
    finally:
        os._exit(0)


def _use_up_a_pid() -> None:
    if syscalls.clone(0) == 0:
        os._exit(0)


class StandbyInit:
    """The process of an init, once its namespaces are ready."""

    def __init__(self, attempt: Attempt, line: socket.socket, link: socket.socket) -> None:
        """Raises `SetupError`."""
        self._attempt, self._line, self._link = attempt, line, link
        try:
            self._network = None if attempt.spec.shares_network else NetworkTraces(attempt.spec.endpoints())
        except OSError as error:
            raise SetupError.caused_by("network", error) from error
        self._last_pid = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)
        self._poller = select.poll()
        self._poller.register(self._line, 0)  # for its end alone: messages on it are read when they are due
        self._namespaces_are_new = True  # which the zygote has not seen yet
        self._scratch = scratch_changes.folders(attempt.shown_in_scratch)
        self._pristine: scratch_changes.State | None = None  # of the scratch space that is there, while it serves again
        self._kept = [_open_namespace(kind) for kind in entered_kinds(attempt) if kind != "net"]

    def serve_once(self) -> bool:
        """Serve one attempt, from the fork of its standby to the end of all that it started; whether it can go on.

        Raises `SetupError`, and `ConnectionError` if the zygote is dead.
        """
        if self._pristine is None:
            carry_out(SCRATCH_STEPS, self._attempt)
            self._namespaces_are_new = True
        if self._namespaces_are_new:
            give_namespaces(self._link, self._entered())
            self._namespaces_are_new = False
        carry_out(TURN_STEPS, self._attempt)
        control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        messages.tell_senders(control)
        messages.take_no_descriptors(control)
        with control:
            with far:
                ipc = _open_namespace("ipc")
                before = self._pid_given_last()
                ask_for_fork(self._link, [far.fileno(), ipc])
                os.close(ipc)
            standing = self._until_standing(control, before)
            if isinstance(standing, int):
                if self._pristine is None:
                    self._pristine = scratch_changes.state(self._scratch)
                listeners = self._network.listeners if self._network is not None else []
                given = [control.fileno(), standing, *(listener.fileno() for listener in listeners)]
                messages.send(self._line, {"standing": True}, given)
                for listener in listeners:
                    listener.close()  # so that the relay's copies are the only ones
        if isinstance(standing, SetupError):
            raise standing  # if the standby is alive, it ends with the init
        end = self._until_ended(standing)
        os.close(standing)
        _kill_all()
        if end is None:
            _wait_until_reaped()
        self._clear()
        messages.send(self._line, {"ended": True, **(end or Exit())._asdict()})
        if self._network is not None and not self._network.listeners and self._network.renew():
            self._namespaces_are_new = True
        return end is not None

    def _entered(self) -> list[int]:
        rules = (self._attempt.file_rules,) if with_landlock(self._attempt) else ()
        network = () if self._network is None else (self._network.namespace,)
        return [*self._kept, *network, *rules]

    def _until_standing(self, control: socket.socket, before: int) -> int | SetupError:
        """A pidfd of the standby, or why there is none; `before` is the last pid that was given before its fork."""
        if control.fileno() not in self._wait(control.fileno(), self._link.fileno()):
            return SetupError("fork", "the zygote could not fork")
        said, given, sender = messages.receive_from(control)
        for descriptor in given:  # it has none to give
            os.close(descriptor)
        if said != STANDING:
            return SetupError("fork", printable(str(messages.parse(said).get("reason", "it ended")), _REASON_CHARS))
        try:
            standing = os.pidfd_open(sender)
        except OSError:
            return SetupError("fork", "it ended")
        try:
            self._have_counted(sender)
        except OSError as error:
            return SetupError.caused_by("cgroup", error)
        if not sender == self._pid_given_last() == before + 1:  # also when pids begin anew: another init is made then
            return SetupError("fork", "it is not alone")
        return standing

    def _have_counted(self, pid: int) -> None:
        """Put the standby into its cgroup. Raises `OSError`."""
        groups = take_group(self._line)
        if not groups:
            os._exit(0)  # the runner has closed the line, or this process has no descriptor left
        try:
            for group in groups:
                os.write(group, str(pid).encode())
        finally:
            for group in groups:
                os.close(group)

    def _pid_given_last(self) -> int:
        """The last pid that the kernel gave in this pid namespace, to a thread or process."""
        return int(os.pread(self._last_pid, 128, 0).split()[-1])

    def _until_ended(self, standing: int) -> Exit | None:
        """Wait until the standby has ended; how, as the zygote reports, `None` if it does not or lies."""
        self._wait(self._link.fileno())
        end = hear_exit(self._link)
        if _is_over(standing):
            return end
        self._wait(standing)
        return None

    def _clear(self) -> None:
        """Reap every process of the attempt, which was killed, and remove its files."""
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, 0)
            os._exit(0)  # a process is left that is no child of this one: the kernel kills it, and waits for its end
        if self._pristine is None or scratch_changes.state(self._scratch) != self._pristine:
            self._pristine = None
            carry_out(CLEAR_STEPS, self._attempt)

    def _wait(self, *wanted: int) -> set[int]:
        """Wait for any of these descriptors; which are ready. Exits if the runner has closed the line."""
        for descriptor in wanted:
            self._poller.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in self._poller.poll()}
        for descriptor in wanted:
            self._poller.unregister(descriptor)
        if self._line.fileno() in ready:
            os._exit(0)
        return ready


def _open_namespace(kind: str) -> int:
    return os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def _is_over(pidfd: int) -> bool:
    """Whether its process has ended."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(0))


def _wait_until_reaped() -> None:
    """Wait until its zygote, or the zygote supervisor in its place, has reaped everything that was killed."""
    until = time.monotonic() + _REAP_S
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.kill(-1, 0)
            time.sleep(0.001)


def _kill_all() -> None:
    """Kill everything in this pid namespace but the caller, its PID 1; in one call, so that no fork escapes."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
