"""The second half of the confinement, in order: what the task does to itself, before anything that the spec names runs.

The task joins its cgroup first, so that everything it does is counted. The supervisor stays outside, and can do its
work when the task's memory or processes are used up. Landlock and seccomp come last, since they deny calls that the
other steps make. They hold the task alone; the supervisor runs no code of it.
"""

from __future__ import annotations

import os
import selectors
import sys

from sandbox.inner.attempt import CHANNEL_DESCRIPTOR, Attempt, Step, always, below_full, full, zygote
from sandbox.kernel import descriptors, identity, landlock, mounts, process_tree, rlimits, rootfs, seccomp, syscalls
from sandbox.spec import Level


def join_cgroups(attempt: Attempt) -> None:
    """Have everything counted that it does from here on."""
    for cgroup in attempt.cgroups:
        os.write(cgroup, b"0")


def begin_session(_: Attempt) -> None:
    """Leave the launcher's session, and die with its parent."""
    os.setsid()
    process_tree.die_with_parent()


def take_name(attempt: Attempt) -> None:
    """Show its name in the process list."""
    name = attempt.spec.name
    syscalls.set_process_name((f"zygote {name}" if attempt.is_zygote else name).encode())


def mount_own_scratch(attempt: Attempt) -> None:
    """Mount its own scratch space over the folders for it; mounts inside these are attached again."""
    trees = [mounts.open_again(target) for target in attempt.shown_in_scratch]
    rootfs.mount_scratch(attempt.spec.limits.disk_bytes)
    for tree in trees:
        mounts.attach(tree)


def _mount_scratch_of_zygote(attempt: Attempt) -> None:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    mount_own_scratch(attempt)


def _take_descriptors(attempt: Attempt) -> None:
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    # First copied to higher numbers: a source may be one of the targets.
    sources = [descriptors.duplicate_above(CHANNEL_DESCRIPTOR, fd) for fd in (null, attempt.stdout, attempt.stderr)]
    channel = descriptors.duplicate_above(CHANNEL_DESCRIPTOR, attempt.channel)
    control = descriptors.duplicate_above(CHANNEL_DESCRIPTOR, attempt.control)
    for target, source in enumerate(sources):
        os.dup2(source, target, inheritable=True)
    os.dup2(channel, CHANNEL_DESCRIPTOR, inheritable=False)
    attempt.control = control
    descriptors.keep_only((0, 1, 2, CHANNEL_DESCRIPTOR, control))


def _open_streams(_: Attempt) -> None:
    descriptors.open_streams()


def _limit(attempt: Attempt) -> None:
    rlimits.apply(
        attempt.spec.limits,
        attempt.level,
        most_files=attempt.most_files,
        counted_memory=bool(attempt.cgroups),
        is_zygote=attempt.is_zygote,
    )


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
    for path in list(sys.path_importer_cache):  # the launcher's; other entries stay right, and are expensive to make
        if any(path == folder or path.startswith(folder + "/") for folder in own):
            del sys.path_importer_cache[path]
    sys.argv[:] = [attempt.spec.entry]


def _visible(path: str, attempt: Attempt) -> str:
    """Where the task finds `path`: below full there is no private root, so at the mount's source."""
    if below_full(attempt):
        for mount in attempt.spec.mounts:
            if path == mount.target or path.startswith(mount.target + "/"):
                return mount.source + path[len(mount.target) :]
    return path


def _reset_signals(_: Attempt) -> None:
    syscalls.set_signal_mask(0)
    identity.expose()  # so that it owns its files under /proc; the supervisor stays shielded


def _restrict_files(attempt: Attempt) -> None:
    landlock.restrict(granted_files(attempt))


def granted_files(attempt: Attempt) -> landlock.Grants:
    """What its mounts show: Landlock allows this and no more."""
    spec, layout = attempt.spec, attempt.layout
    ports = tuple(endpoint.port for endpoint in spec.endpoints())
    writable = [mount for mount in spec.mounts if mount.writable]
    if full(attempt):
        read: tuple[str, ...] = ("/",)
        mounted: tuple[str, ...] = ()
        write = (*rootfs.SCRATCH, *(mount.target for mount in writable))
        if attempt.is_zygote:  # the scratch space of its attempts does not exist yet; their own rules name it
            write = ("/",)
        devices: tuple[str, ...] = ("/dev",)
    else:
        read = (*layout.shown, *layout.files, *layout.with_network, "/proc")
        mounted = tuple(mount.source for mount in spec.mounts)
        write = (attempt.scratch, *(mount.source for mount in writable))
        devices = layout.devices
    return landlock.Grants(read, mounted, write, devices, tcp=spec.shares_network, ports=ports)


def _filter_calls(attempt: Attempt) -> None:
    namespaces = full(attempt)
    program = seccomp.program(
        network=attempt.spec.shares_network,
        namespaces=namespaces,
        counted=bool(attempt.cgroups),
        zygote=attempt.is_zygote,
        scoped_signals=namespaces or landlock.scopes_signals(),
    )
    seccomp.load(program)
    if not namespaces or not attempt.cgroups:  # epoll is refused; the launcher's `selectors` has chosen it as default
        selectors.DefaultSelector = selectors.PollSelector  # type: ignore[misc, assignment]


def _keep_capabilities_to_enter(_: Attempt) -> None:
    identity.keep_capabilities_to_enter()


def with_landlock(attempt: Attempt) -> bool:
    """Whether Landlock stands around it."""
    return attempt.level is Level.RESTRICTED or (full(attempt) and not landlock.missing())


def with_filter(attempt: Attempt) -> bool:
    """Whether a filter of system calls stands around it."""
    return attempt.level is Level.RESTRICTED or (full(attempt) and not seccomp.missing())


TASK_STEPS: tuple[Step, ...] = (
    Step("cgroup", join_cgroups, always),
    Step("session", begin_session, always, "session"),
    Step("name", take_name, always),
    Step("scratch space", _mount_scratch_of_zygote, zygote),
    Step("descriptors", _take_descriptors, always, "no inherited descriptors"),
    Step("streams", _open_streams, always),
    Step("rlimits", _limit, always, "rlimits"),
    Step("environment", _clear_environment, always, "cleared environment"),
    Step("import path", _set_path, always),
    Step("capabilities", _keep_capabilities_to_enter, zygote),
    Step("signals", _reset_signals, always),
    Step("landlock", _restrict_files, with_landlock, landlock.describe()),
    Step("seccomp", _filter_calls, with_filter, "seccomp"),
)
