"""How an attempt of a zygote is confined: what its init does, and what the process does that moves in.

A zygote went through `SUPERVISOR_STEPS` (its supervisor) and `TASK_STEPS` (itself), so an attempt forked from it stands
within all their walls from its first instruction on. What is left is what it may not share with other attempts of its
zygote: processes, mounts, network, ipc, scratch space, a cgroup. The init has done `INIT_STEPS` once, and does
`TURN_STEPS` before each attempt. Scratch space is made by `SCRATCH_STEPS`, and serves until an attempt has changed
anything in it; after that one the init does `CLEAR_STEPS`. The zygote may enter the init's namespaces; the standby that
it forks drops the means to do so, and is given what will be an attempt's own, all of it ahead of need. When an attempt
is to be executed, it becomes that (`standby`).

What a process does after a fork, or before one, it does on pages that have to be copied when they are first written to.
So whatever can be done in the init, which forks nothing, is done there.
"""

from __future__ import annotations

import os

from sandbox.inner.attempt import Attempt, Step, always
from sandbox.inner.task_steps import granted_files, mount_own_scratch, with_landlock
from sandbox.kernel import landlock, rootfs, syscalls


def _mount_proc(_: Attempt) -> None:
    rootfs.mount_proc_again()


def _begin_ipc(_: Attempt) -> None:
    syscalls.unshare(syscalls.CLONE_NEWIPC)


def _look_up_files(attempt: Attempt) -> None:
    attempt.file_rules = landlock.ruleset(granted_files(attempt))


def _forget_files(attempt: Attempt) -> None:
    os.close(attempt.file_rules)


def _unmount_scratch(_: Attempt) -> None:
    rootfs.unmount_scratch()


INIT_STEPS: tuple[Step, ...] = (Step("proc", _mount_proc, always),)

SCRATCH_STEPS: tuple[Step, ...] = (
    Step("scratch space", mount_own_scratch, always),
    Step("landlock", _look_up_files, with_landlock),
)

TURN_STEPS: tuple[Step, ...] = (Step("ipc", _begin_ipc, always),)

CLEAR_STEPS: tuple[Step, ...] = (
    Step("landlock", _forget_files, with_landlock),
    Step("scratch space", _unmount_scratch, always),
)


def entered_kinds(attempt: Attempt) -> tuple[str, ...]:
    """The namespaces of its init that a standby enters, in order, before the one for ipc, which is new for each."""
    return ("pid", "mnt") if attempt.spec.shares_network else ("pid", "mnt", "net")
