"""How a warm attempt is confined: what its init does, and what the standby does.

A zygote went through `ZYGOTE_SUPERVISOR_STEPS` (its supervisor) and `TASK_STEPS` (itself), so an attempt forked from it
is within all their walls from its first instruction on. What is left is what it may not share with other attempts of
its zygote: processes, mounts, network, ipc, scratch space, a cgroup. The init has done `INIT_STEPS` once, and does
`TURN_STEPS` before each attempt. Scratch space is made by `SCRATCH_STEPS`, and serves until an attempt has changed
anything in it; after that one the init does `CLEAR_STEPS`. The zygote may enter the init's namespaces. The standby that
it forks drops the right to do so, and is given its channel and pipes, all of it ahead of need. When an attempt comes,
the standby becomes that (`standby`).

After a fork, pages have to be copied when they are first written to, on both sides. So everything that can be is done
in the init, which forks nothing.
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
    """The namespaces of its init that a standby enters, in order; ipc is not among them, since it is new for each."""
    return ("pid", "mnt") if attempt.spec.shares_network else ("pid", "mnt", "net")
