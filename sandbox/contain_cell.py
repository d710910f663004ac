"""How an attempt of a zygote is confined: what its cell does, and what the process does that moves in.

A zygote went through `SUPERVISOR_STEPS` (its warden) and `TASK_STEPS` (itself), so an attempt forked from it stands
within all their walls from its first instruction on. What is left is what it may not share with other attempts of its
zygote: processes, mounts, network, ipc, scratch space, a cgroup. The cell has done `CELL_STEPS` once, and does
`TURN_STEPS` before each attempt. Scratch space is made by `ROOM_STEPS`, and serves until an attempt has changed
anything in it; after that one the cell does `CLEAR_STEPS`. The zygote may enter the cell's namespaces, and the inmate
that it forks closes the door behind itself (`INMATE_STEPS`), all of it ahead of need. When an attempt is to be
executed, the inmate gets what is the attempt's own (`MOVE_IN_STEPS`), and becomes it.

What a process does after a fork, or before one, it does on pages that have to be copied when they are first written to.
So whatever can be done in the cell, which forks nothing, is done there.
"""

from __future__ import annotations

import os

from sandbox import descriptors, identity, landlock, limits, rootfs, seccomp, syscalls
from sandbox.attempt import CHANNEL_DESCRIPTOR, Attempt, Step, always
from sandbox.contain_task import (
    begin_session,
    granted_files,
    join_cgroups,
    mount_own_scratch,
    take_name,
    with_filter,
    with_landlock,
)


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


CELL_STEPS: tuple[Step, ...] = (Step("proc", _mount_proc, always),)

ROOM_STEPS: tuple[Step, ...] = (
    Step("scratch space", mount_own_scratch, always),
    Step("landlock", _look_up_files, with_landlock),
)

TURN_STEPS: tuple[Step, ...] = (Step("ipc", _begin_ipc, always),)

CLEAR_STEPS: tuple[Step, ...] = (
    Step("landlock", _forget_files, with_landlock),
    Step("scratch space", _unmount_scratch, always),
)


def _go_home(_: Attempt) -> None:
    os.chdir(rootfs.SCRATCH[0])


def _unblock_signals(_: Attempt) -> None:
    syscalls.set_signal_mask(0)


def _drop_kept_capabilities(_: Attempt) -> None:
    identity.drop_kept_capabilities()


def _restrict_files(attempt: Attempt) -> None:
    landlock.enforce(attempt.file_rules)


def _close_door(_: Attempt) -> None:
    seccomp.load(seccomp.entering_denied())


def _take_descriptors(attempt: Attempt) -> None:
    # They have higher numbers than these, which the zygote holds: it gave them to nothing.
    for target, source in ((1, attempt.stdout), (2, attempt.stderr)):
        os.dup2(source, target, inheritable=True)
    os.dup2(attempt.channel, CHANNEL_DESCRIPTOR, inheritable=False)
    descriptors.keep_only((0, 1, 2, CHANNEL_DESCRIPTOR, attempt.control))


def _limit_files(attempt: Attempt) -> None:
    limits.limit_files(attempt.spec.limits.open_files)


INMATE_STEPS: tuple[Step, ...] = (
    Step("session", begin_session, always),
    Step("home", _go_home, always),
    Step("signals", _unblock_signals, always),
    Step("capabilities", _drop_kept_capabilities, always),
    Step("landlock", _restrict_files, with_landlock),
    Step("seccomp", _close_door, with_filter),
)

MOVE_IN_STEPS: tuple[Step, ...] = (
    Step("cgroup", join_cgroups, always),
    Step("descriptors", _take_descriptors, always),
    Step("rlimits", _limit_files, always),
    Step("name", take_name, always),
)
