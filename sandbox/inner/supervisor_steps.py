"""The confinement as one ordered list of steps: read it from the top.

The launcher makes a child in new namespaces (`namespaces.clone_flags`): the supervisor, PID 1 of its pid namespace. The
supervisor does `SUPERVISOR_STEPS` and forks; its child, the task, does `TASK_STEPS` and only then runs what the spec
names. A step that fails ends the attempt: it is reported as a `SetupError` with the step's name and the kernel's
answer, and nothing of the task has run.

Why this order: whatever needs privileges comes before "unprivileged user". Sources of mounts are opened while the
host's root is mounted. /proc is mounted while the host's is still visible (the kernel demands that of ordinary users).
A change of uid clears the parent-death signal, so that is set again. The supervisor shields itself before the task
exists. The task's half, and why it is in its order, is in `task_steps`.
"""

from __future__ import annotations

import os
import socket

from sandbox.errors import SetupError
from sandbox.inner.attempt import (
    Attempt,
    Step,
    above_basic,
    always,
    below_full,
    full,
    full_as_root,
    full_as_user,
    granted_hosts,
)
from sandbox.inner.task_steps import TASK_STEPS
from sandbox.kernel import descriptors, identity, landlock, mounts, namespaces, process_tree, rootfs, seccomp, syscalls
from sandbox.network import listeners
from sandbox.protocol import lease


def _tie(attempt: Attempt) -> None:
    process_tree.die_with_parent()
    process_tree.check_alive(attempt.life)


def _close_inherited(attempt: Attempt) -> None:
    descriptors.keep_only(attempt.descriptors())


def _adopt(_: Attempt) -> None:
    process_tree.adopt_orphans()


def _enter_user_namespace(attempt: Attempt) -> None:
    proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
    identity.expose()  # the uid and gid maps of a shielded process belong to root
    namespaces.map_identity(proc, attempt.identity)
    os.close(proc)


def _name_host(_: Attempt) -> None:
    socket.sethostname("isolane")


def _open_network(attempt: Attempt) -> None:
    listeners.hand_out(attempt.control, listeners.open_listeners(attempt.spec.endpoints()))


def _open_trees(attempt: Attempt) -> None:
    layout = attempt.layout
    shown = (*layout.shown, *layout.with_network) if attempt.spec.shares_network else layout.shown
    attempt.trees += [mounts.open_shown(path, path) for path in shown]
    attempt.trees += [mounts.open_device(path) for path in layout.devices]
    for mount in sorted(attempt.spec.mounts, key=lambda mount: mount.target):
        owner_map = attempt.owner_map if mount.writable or mount.owned else None
        tree = mounts.open_granted(mount.source, mount.target, writable=mount.writable, owner_map=owner_map)
        attempt.trees.append(tree)


def _enter_root(_: Attempt) -> None:
    rootfs.enter()


def _mount_proc(attempt: Attempt) -> None:
    attempt.proc = rootfs.mount_proc()


def _leave_host(_: Attempt) -> None:
    rootfs.leave_host()


def _make_files(attempt: Attempt) -> None:
    hosts = listeners.hosts_file(attempt.spec.endpoints())
    rootfs.make_files(attempt.layout, hosts, network=attempt.spec.shares_network)


def _mount_scratch(attempt: Attempt) -> None:
    rootfs.mount_scratch(attempt.spec.limits.disk_bytes)


def _attach_trees(attempt: Attempt) -> None:
    for tree in attempt.trees:
        try:
            mounts.attach(tree)
        except OSError as error:
            raise SetupError("mounts", f"{tree.target}: {error.strerror}", error.errno) from error


def _close_root(_: Attempt) -> None:
    rootfs.make_read_only()


def _become_user(attempt: Attempt) -> None:
    identity.become(attempt.identity)
    identity.expose()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    namespaces.map_identity(attempt.proc, attempt.identity)


def _limit_user_namespace(attempt: Attempt) -> None:
    namespaces.limit_user_namespace(attempt.proc)
    os.close(attempt.proc)


def _drop_capabilities(_: Attempt) -> None:
    identity.drop_capabilities()


def _forbid_new_privileges(_: Attempt) -> None:
    identity.forbid_new_privileges()


def _shield(_: Attempt) -> None:
    identity.shield()


def _check_lease(attempt: Attempt) -> None:
    if attempt.lease is not None:
        lease.check(attempt.lease)


SUPERVISOR_STEPS: tuple[Step, ...] = (
    Step("tie to the launcher", _tie, always),
    Step("inherited descriptors", _close_inherited, always),
    Step("adoption of orphans", _adopt, below_full),
    Step("user namespace", _enter_user_namespace, full_as_user),
    Step("host name", _name_host, full),
    Step("network", _open_network, granted_hosts, "granted hosts by relay"),
    Step("mounts", _open_trees, full),
    Step("private root", _enter_root, full, "private root"),
    Step("files of the root", _make_files, full),
    Step("proc", _mount_proc, full),
    Step("leave the host's root", _leave_host, full),
    Step("scratch space", _mount_scratch, full),
    Step("places of mounts", _attach_trees, full),
    Step("read-only root", _close_root, full),
    # From here on as an ordinary user.
    Step("unprivileged user", _become_user, full_as_root, "unprivileged uid"),
    Step("no nested user namespaces", _limit_user_namespace, full),
    Step("tie to the launcher", _tie, full_as_root),
    Step("capabilities", _drop_capabilities, above_basic, "no capabilities"),
    Step("no new privileges", _forbid_new_privileges, always, "no_new_privs"),
    Step("shield", _shield, always),
    Step("lease", _check_lease, always),
)

#: Around a zygote. Each of its attempts gets the first two of these in its init; making inits takes capabilities.
ZYGOTE_SUPERVISOR_STEPS = tuple(
    step for step in SUPERVISOR_STEPS if step.name not in ("network", "scratch space", "capabilities")
)


def walls(attempt: Attempt) -> str:
    """In one line, the level and every wall around an attempt, or around those of a zygote, once all steps are done."""
    standing = []
    if full(attempt):
        standing.append(f"user pid mount{'' if attempt.spec.shares_network else ' net'} ipc uts cgroup")
        if attempt.identity.own:
            standing.append("the runner's own uid")
    standing += [step.wall for step in (*SUPERVISOR_STEPS, *TASK_STEPS) if step.wall and step.applies(attempt)]
    if above_basic(attempt):
        standing += [why for why in (landlock.missing(), seccomp.missing()) if why]
    return f"{attempt.level}: {', '.join(standing)}"
