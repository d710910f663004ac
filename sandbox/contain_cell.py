"""How an attempt of a zygote is confined: what its cell does, and what the process does that moves in.

A zygote went through `SUPERVISOR_STEPS` (its warden) and `TASK_STEPS` (itself), so an attempt forked from it stands
within all their walls from its first instruction on. What is left is what it may not share with other attempts of its
zygote: processes, mounts, network, ipc, scratch space, a cgroup. The cell, PID 1 of new namespaces, is made by the
warden and never runs anything of the task; the zygote forks into the cell's pid namespace, and its child enters the
others and closes the door behind it (`INMATE_STEPS`), all of it ahead of need. When an attempt is to be executed, the
inmate gets what is the attempt's own (`MOVE_IN_STEPS`), and becomes it.
"""

from __future__ import annotations

import os

from sandbox import descriptors, identity, kinship, rootfs, seccomp, syscalls
from sandbox.attempt import CHANNEL_DESCRIPTOR, Attempt, Step, always
from sandbox.contain_task import (
    join_cgroups,
    mount_own_scratch,
    restrict_files,
    with_filter,
    with_landlock,
)


def _mount_proc(_: Attempt) -> None:
    rootfs.mount_proc_again()


CELL_STEPS: tuple[Step, ...] = (
    Step("scratch space", mount_own_scratch, always),
    Step("proc", _mount_proc, always),
)


def _enter(attempt: Attempt) -> None:
    for namespace in attempt.cell:
        syscalls.setns(namespace, 0)


def _go_home(_: Attempt) -> None:
    os.chdir("/tmp")


def _drop_kept_capabilities(_: Attempt) -> None:
    identity.drop_kept_capabilities()


def _begin_session(_: Attempt) -> None:
    os.setsid()
    kinship.die_with_parent()
    syscalls.set_signal_mask(0)


def _take_descriptors(attempt: Attempt) -> None:
    # They have higher numbers than these, which the zygote holds: it gave them to nothing.
    for target, source in ((1, attempt.stdout), (2, attempt.stderr)):
        os.dup2(source, target, inheritable=True)
    os.dup2(attempt.channel, CHANNEL_DESCRIPTOR, inheritable=False)
    descriptors.keep_only((0, 1, 2, CHANNEL_DESCRIPTOR, attempt.control))


def _take_name(attempt: Attempt) -> None:
    syscalls.set_process_name(attempt.name)


def _close_door(_: Attempt) -> None:
    seccomp.load(seccomp.entering_denied())


INMATE_STEPS: tuple[Step, ...] = (
    Step("namespaces", _enter, always),
    Step("home", _go_home, always),
    Step("session", _begin_session, always),
    Step("capabilities", _drop_kept_capabilities, always),
    Step("landlock", restrict_files, with_landlock),
    Step("seccomp", _close_door, with_filter),
)

MOVE_IN_STEPS: tuple[Step, ...] = (
    Step("cgroup", join_cgroups, always),
    Step("descriptors", _take_descriptors, always),
    Step("name", _take_name, always),
)
