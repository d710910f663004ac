"""The supervisor of one attempt: PID 1 of its pid namespace. Confines itself, forks the task, takes everything down.

It ends, and with it everything in its pid namespace, when the task ends, when the runner closes the control socket or
dies, when the launcher dies, when the runner kills it, and when its lease is over. Signals from inside do not reach a
PID 1 that has no handlers; here all are blocked. Below level full there is no pid namespace: there it kills all its
descendants before it ends.

On the control socket (one message at a time, JSON): first the task's "ready" or the failed step; at the end how the
task ended, or that the lease is over. From the runner: `TERMINATE`.
"""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Callable, Sequence
from typing import NoReturn

from sandbox.errors import SetupError
from sandbox.inner.attempt import Attempt, Step, carry_out
from sandbox.inner.task import become_task, report_failure
from sandbox.inner.task_steps import TASK_STEPS
from sandbox.kernel import descriptors, process_tree, syscalls
from sandbox.protocol.control_messages import TERMINATE
from sandbox.protocol.lease import Watch
from sandbox.spec import Level

_ALL_SIGNALS = (1 << 64) - 1


def supervise(attempt: Attempt, steps: Sequence[Step], serve: Callable[[Attempt], None]) -> NoReturn:
    """What the launcher's new child does: confine itself by `steps`, and `serve`. Never returns, never raises."""
    try:
        syscalls.set_signal_mask(_ALL_SIGNALS)
        carry_out(steps, attempt)
        serve(attempt)
    except SetupError as error:
        report_failure(attempt.control, error)
    except BaseException as error:
        report_failure(attempt.control, SetupError.caused_by("supervision", Exception(repr(error))))
    finally:
        os._exit(0)


def run_task(attempt: Attempt) -> None:
    """Fork the task, watch it, and report how it ended."""
    # This is the only process that is made for the attempt: by `os.fork`, with all of Python's hooks, and in the main
    # thread, because the task is killed when that ends.
    task = os.fork()
    if task == 0:
        become_task(attempt, TASK_STEPS)
    _watch(attempt, task)


def _watch(attempt: Attempt, task: int) -> None:
    child_ended = syscalls.signalfd({signal.SIGCHLD})
    lease = Watch(attempt.lease) if attempt.lease is not None else None
    kept = [attempt.control, attempt.life, attempt.lock, child_ended]
    descriptors.keep_only(kept if lease is None else [*kept, lease.timer])
    poller = select.poll()
    poller.register(attempt.control, select.POLLIN)
    poller.register(attempt.life, 0)
    poller.register(child_ended, select.POLLIN)
    if lease is not None:
        poller.register(lease.timer, select.POLLIN)
    status: int | None = None
    wanted = True
    while wanted and status is None:
        for descriptor, _ in poller.poll():
            if descriptor == child_ended:
                os.read(child_ended, 4096)
                status = _reap(task)
            elif descriptor == attempt.control:
                wanted = _obey(attempt.control, task) and wanted
            elif lease is not None and descriptor == lease.timer:
                if lease.is_over():
                    wanted = False
                    _report(attempt.control, {"exit_code": None, "signal": None, "lease_over": True})
            else:
                wanted = False
    if status is not None:
        _report_end(attempt.control, status)
    if attempt.level is not Level.FULL:
        process_tree.kill_descendants()


def _reap(task: int) -> int | None:
    """Reap every child that has ended; the wait status of the task if it is among them."""
    status = None
    while True:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == task:
            status = ended


def _obey(control: int, task: int) -> bool:
    """Do what the runner asks; `False` if it is gone."""
    try:
        message = os.read(control, 64)
    except OSError:
        return False
    if message == TERMINATE:
        os.kill(task, signal.SIGTERM)  # not yet reaped, so the pid is still its own
    return bool(message)


def _report_end(control: int, status: int) -> None:
    code = os.waitstatus_to_exitcode(status)
    _report(control, {"exit_code": code, "signal": None} if code >= 0 else {"exit_code": None, "signal": -code})


def _report(control: int, message: dict[str, int | None]) -> None:
    try:
        os.write(control, json.dumps(message).encode())
    except OSError:
        pass  # the runner is gone
