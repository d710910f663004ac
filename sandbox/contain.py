"""The confinement as one ordered list of steps. Read it from the top: that is the theory of operation.

The launcher makes a child in new namespaces (`namespaces.clone_flags`): the supervisor, PID 1 of its pid namespace.
The supervisor walks through `SUPERVISOR_STEPS` and forks; its child, the task, walks through `TASK_STEPS` and only then
runs what the spec names. A step that fails ends the attempt: it is reported as a `SetupError` with the step's name and
the kernel's answer, and nothing of the task has run.

Why this order: whatever needs privileges comes before "unprivileged user"; sources of mounts are opened while the
host's root is there; /proc is mounted while the host's still is in view (the kernel demands it of ordinary users); a
change of uid clears the parent-death signal, so it is set once more; the supervisor shields itself before the task
exists. The task joins its cgroup first, so that all it ever does is counted, and the supervisor stays outside: it can
do its work when the task's memory or processes are used up. Landlock and seccomp come last, since they deny what the
other steps are made of; they hold the task, the supervisor runs nothing of it.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from sandbox import (
    descriptors,
    identity,
    kinship,
    landlock,
    lease,
    limits,
    mounts,
    namespaces,
    rootfs,
    seccomp,
    syscalls,
)
from sandbox.errors import SetupError
from sandbox.spec import Level, Spec

#: Where the task finds its channel.
CHANNEL_DESCRIPTOR = 3


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One attempt on its way into confinement: what was asked for, and what the steps hand on to each other.

    Attributes:
        spec: what is to be run.
        level: of the confinement.
        identity: who it is to be on the host.
        layout: what of the host every sandbox shows.
        owner_map: user namespace that translates owners of mounts, `None` where nothing is to translate.
        control: socket between the supervisor and the runner.
        channel: socket between the task and the runner.
        stdout: pipe to the runner.
        stderr: pipe to the runner.
        life: pipe whose other end only the launcher holds.
        lock: the lock file; held until the tree is dead.
        lease: memory that says until when it may run, `None` where nothing limits that.
        cgroups: files to write "0" to, in order to join.
        counted_memory: whether one of `cgroups` limits memory.
        scratch: folder of the host for its temporary files, below full; empty at full.
        proc: a /proc that can be written to, once there is one.
        trees: mounts that were opened and are not yet in their places.
    """

    spec: Spec
    level: Level
    identity: identity.Identity
    layout: rootfs.Layout
    owner_map: int | None
    control: int
    channel: int
    stdout: int
    stderr: int
    life: int
    lock: int
    lease: int | None
    cgroups: tuple[int, ...]
    scratch: str
    proc: int = -1
    trees: list[mounts.Tree] = field(default_factory=list)

    def descriptors(self) -> list[int]:
        """All that it needs while it is being set up."""
        held = [self.control, self.channel, self.stdout, self.stderr, self.life, self.lock, *self.cgroups]
        return held + [each for each in (self.owner_map, self.lease) if each is not None]


class Step(NamedTuple):
    """One step: its name in errors, what it does, where it applies, and the wall that stands once it is done."""

    name: str
    do: Callable[[Attempt], None]
    applies: Callable[[Attempt], bool]
    wall: str = ""


def _always(_: Attempt) -> bool:
    return True


def _full(attempt: Attempt) -> bool:
    return attempt.level is Level.FULL


def _full_as_root(attempt: Attempt) -> bool:
    return _full(attempt) and not attempt.identity.own


def _full_as_user(attempt: Attempt) -> bool:
    return _full(attempt) and attempt.identity.own


def _below_full(attempt: Attempt) -> bool:
    return not _full(attempt)


def _above_basic(attempt: Attempt) -> bool:
    return attempt.level is not Level.BASIC


def _with_landlock(attempt: Attempt) -> bool:
    return attempt.level is Level.RESTRICTED or (_full(attempt) and not landlock.missing())


def _with_filter(attempt: Attempt) -> bool:
    return attempt.level is Level.RESTRICTED or (_full(attempt) and not seccomp.missing())


# --- the supervisor --------------------------------------------------------------------------------------------------


def _tie(attempt: Attempt) -> None:
    kinship.die_with_parent()
    kinship.check_alive(attempt.life)


def _close_inherited(attempt: Attempt) -> None:
    descriptors.keep_only(attempt.descriptors())


def _adopt(_: Attempt) -> None:
    kinship.adopt_orphans()


def _enter_user_namespace(attempt: Attempt) -> None:
    proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
    identity.expose()  # the maps of a process that is shielded belong to root
    namespaces.map_identity(proc, attempt.identity)
    os.close(proc)


def _name_host(_: Attempt) -> None:
    socket.sethostname("isolane")


def _open_trees(attempt: Attempt) -> None:
    layout = attempt.layout
    shown = (*layout.shown, *layout.with_network) if attempt.spec.network else layout.shown
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


def _furnish(attempt: Attempt) -> None:
    rootfs.furnish(attempt.layout, network=attempt.spec.network)


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


def _forbid_user_namespaces(attempt: Attempt) -> None:
    namespaces.forbid_user_namespaces(attempt.proc)
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
    Step("tie to the launcher", _tie, _always),
    Step("inherited descriptors", _close_inherited, _always),
    Step("adoption of orphans", _adopt, _below_full),
    Step("user namespace", _enter_user_namespace, _full_as_user),
    Step("host name", _name_host, _full),
    Step("mounts", _open_trees, _full),
    Step("private root", _enter_root, _full, "private root"),
    Step("files of the root", _furnish, _full),
    Step("proc", _mount_proc, _full),
    Step("leave the host's root", _leave_host, _full),
    Step("scratch space", _mount_scratch, _full),
    Step("places of mounts", _attach_trees, _full),
    Step("read-only root", _close_root, _full),
    # From here on as an ordinary user.
    Step("unprivileged user", _become_user, _full_as_root, "unprivileged uid"),
    Step("no nested user namespaces", _forbid_user_namespaces, _full),
    Step("tie to the launcher", _tie, _full_as_root),
    Step("capabilities", _drop_capabilities, _above_basic, "no capabilities"),
    Step("no new privileges", _forbid_new_privileges, _always, "no_new_privs"),
    Step("shield", _shield, _always),
    Step("lease", _check_lease, _always),
)

# --- the task --------------------------------------------------------------------------------------------------------


def _join_cgroups(attempt: Attempt) -> None:
    for cgroup in attempt.cgroups:
        os.write(cgroup, b"0")


def _begin_session(attempt: Attempt) -> None:
    os.setsid()
    kinship.die_with_parent()
    syscalls.set_process_name(attempt.spec.name)


def _take_descriptors(attempt: Attempt) -> None:
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    # Above everything that is to be overwritten first: a source may be one of the targets.
    sources = [descriptors.duplicate_above(CHANNEL_DESCRIPTOR, fd) for fd in (null, attempt.stdout, attempt.stderr)]
    channel = descriptors.duplicate_above(CHANNEL_DESCRIPTOR, attempt.channel)
    control = descriptors.duplicate_above(CHANNEL_DESCRIPTOR, attempt.control)
    for target, source in enumerate(sources):
        os.dup2(source, target, inheritable=True)
    os.dup2(channel, CHANNEL_DESCRIPTOR, inheritable=False)
    attempt.control = control
    descriptors.keep_only((0, 1, 2, CHANNEL_DESCRIPTOR, control))


def _limit(attempt: Attempt) -> None:
    limits.apply(attempt.spec.limits, attempt.level, counted_memory=bool(attempt.cgroups))


def _clear_environment(attempt: Attempt) -> None:
    os.environ.clear()
    os.environ.update(attempt.spec.environment)
    os.umask(0o022)
    if attempt.scratch:
        os.environ.update(HOME=attempt.scratch, TMPDIR=attempt.scratch)
    os.chdir(attempt.scratch or "/tmp")


def _set_path(attempt: Attempt) -> None:
    own = [_visible(path, attempt) for path in attempt.spec.path]
    sys.path[:0] = own
    for path in list(sys.path_importer_cache):  # the launcher's; what is not of this attempt stays true, and is costly
        if any(path == folder or path.startswith(folder + "/") for folder in own):
            del sys.path_importer_cache[path]
    sys.argv[:] = [attempt.spec.entry]


def _visible(path: str, attempt: Attempt) -> str:
    """Where `path` inside is to be found: below full there is no inside, so at the mount's source."""
    if _below_full(attempt):
        for mount in attempt.spec.mounts:
            if path == mount.target or path.startswith(mount.target + "/"):
                return mount.source + path[len(mount.target) :]
    return path


def _reset_signals(_: Attempt) -> None:
    syscalls.set_signal_mask(0)
    identity.expose()  # so that its own files under /proc are its own; what shields the supervisor stays


def _restrict_files(attempt: Attempt) -> None:
    spec, layout = attempt.spec, attempt.layout
    writable = [mount for mount in spec.mounts if mount.writable]
    if _full(attempt):
        read: tuple[str, ...] = ("/",)
        write = ("/tmp", "/dev/shm", *(mount.target for mount in writable))
        devices: tuple[str, ...] = ("/dev",)
    else:
        read = (*layout.shown, *layout.files, *layout.with_network, "/proc", *(mount.source for mount in spec.mounts))
        write = (attempt.scratch, *(mount.source for mount in writable))
        devices = layout.devices
    landlock.restrict(landlock.Grants(read, write, devices, tcp=spec.network))


def _filter_calls(attempt: Attempt) -> None:
    seccomp.load(seccomp.program(network=attempt.spec.network, namespaces=_full(attempt)))


TASK_STEPS: tuple[Step, ...] = (
    Step("cgroup", _join_cgroups, _always),
    Step("session", _begin_session, _always, "session"),
    Step("descriptors", _take_descriptors, _always, "no inherited descriptors"),
    Step("rlimits", _limit, _always, "rlimits"),
    Step("environment", _clear_environment, _always, "cleared environment"),
    Step("import path", _set_path, _always),
    Step("signals", _reset_signals, _always),
    Step("landlock", _restrict_files, _with_landlock, landlock.describe()),
    Step("seccomp", _filter_calls, _with_filter, "seccomp"),
)


def carry_out(steps: Iterable[Step], attempt: Attempt) -> None:
    """Do the steps that apply, in order. Raises `SetupError` for the first that fails."""
    for step in steps:
        if step.applies(attempt):
            try:
                step.do(attempt)
            except SetupError:
                raise
            except Exception as error:
                raise SetupError.caused_by(step.name, error) from error


def walls(attempt: Attempt) -> str:
    """The level and every wall that stands around `attempt` once all steps are done, in one line."""
    standing = []
    if _full(attempt):
        standing.append(f"user pid mount{'' if attempt.spec.network else ' net'} ipc uts cgroup")
        if attempt.identity.own:
            standing.append("the runner's own uid")
    standing += [step.wall for step in (*SUPERVISOR_STEPS, *TASK_STEPS) if step.wall and step.applies(attempt)]
    if _above_basic(attempt):
        standing += [why for why in (landlock.missing(), seccomp.missing()) if why]
    return f"{attempt.level}: {', '.join(standing)}"
