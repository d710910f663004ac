"""Which walls and limits stand on this host: each is tried in a throwaway child, as attempts use it.

A level is tried as a whole: a sandbox is started at it and runs an attempt that does nothing. Besides, each wall is
tried by itself, so that the report names everything that is missing, not just the first step that failed. Nothing is
left behind, and nothing on the host is changed.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import endpoint, remedies
from sandbox.errors import SandboxError
from sandbox.host.cgroups import cgroup
from sandbox.host.launching import LaunchingSandbox
from sandbox.kernel import identity, landlock, mounts, namespaces, rlimits, rootfs, seccomp, syscalls
from sandbox.network import listeners
from sandbox.spec import Level, Limits

_NAMESPACES = {
    "pid": syscalls.CLONE_NEWPID,
    "mount": syscalls.CLONE_NEWNS,
    "net": syscalls.CLONE_NEWNET,
    "ipc": syscalls.CLONE_NEWIPC,
    "uts": syscalls.CLONE_NEWUTS,
    "cgroup": syscalls.CLONE_NEWCGROUP,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One level, wall or limit.

    Attributes:
        kind: "level", "wall" or "limit".
        name: its name.
        stands: whether attempts get it here.
        detail: what stands, or why it does not.
        remedy: what to do about it; empty where it stands.
    """

    kind: str
    name: str
    stands: bool
    detail: str
    remedy: str = ""

    def to_document(self) -> dict[str, Any]:
        """As JSON has it."""
        return dataclasses.asdict(self)


async def diagnose() -> list[Finding]:
    """Try everything; takes about a second."""
    return [*await _levels(), *_walls(), *_limits(), _dumps()]


async def _levels() -> list[Finding]:
    findings = []
    for level in Level:
        with tempfile.TemporaryDirectory(prefix="isolane-doctor-") as folder:
            sandbox = LaunchingSandbox(lock_file=Path(folder) / "lock", level=level)
            try:
                await sandbox.start()
            except SandboxError as error:
                findings.append(
                    Finding("level", level, stands=False, detail=str(error), remedy=remedies.for_level(level))
                )
            else:
                findings.append(Finding("level", level, stands=True, detail=sandbox.walls.partition(": ")[2]))
                await sandbox.close()
    return findings


def _walls() -> list[Finding]:
    identities = identity.HostUsers()  # made here: in a new user namespace the caller has no uid yet
    who = identities.of(0)
    identities.close()
    user = syscalls.CLONE_NEWUSER if who.own else 0
    findings = [_tried("user namespace", syscalls.CLONE_NEWUSER, _nothing, remedies.for_namespaces)]
    for name, flag in _NAMESPACES.items():
        findings.append(_tried(f"{name} namespace", user | flag, _nothing, remedies.for_namespaces))
    findings.append(_tried("granted hosts", user | syscalls.CLONE_NEWNET, _grant_hosts, remedies.for_namespaces))
    flags = user | syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID
    findings.append(_tried("private root", flags, lambda: _enter_private_root(who), remedies.for_namespaces))
    uid = "the runner's own" if who.own else f"one for each attempt, from {identity.FIRST_UID} on"
    findings += [
        _tried("unprivileged uid", 0, lambda: _become_user(who), remedies.for_namespaces, uid),
        _tried("no_new_privs", 0, identity.forbid_new_privileges, remedies.for_seccomp),
        _tried("landlock", 0, _hold_to_landlock, remedies.for_landlock, _describe_landlock()),
        _tried("seccomp", 0, _hold_to_filter, remedies.for_seccomp),
    ]
    return findings


def _tried(name: str, flags: int, do: Callable[[], None], remedy: Callable[[], str], detail: str = "") -> Finding:
    """Do it in a child in new namespaces; an exception is the reason why the wall does not stand."""
    answer, report = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            child = syscalls.clone(flags)
        except OSError as error:
            return Finding("wall", name, stands=False, detail=str(error), remedy=remedy())
        if child == 0:
            _do_and_report(do, report)
        os.waitpid(child, 0)
        os.write(report, b"\n")
        problem = os.read(answer, 4096).decode(errors="replace").strip()
    finally:
        os.close(answer)
        os.close(report)
    if problem:
        return Finding("wall", name, stands=False, detail=problem, remedy=remedy())
    return Finding("wall", name, stands=True, detail=detail)


def _do_and_report(do: Callable[[], None], report: int) -> None:
    try:
        do()
    except BaseException as error:
        os.write(report, str(error).encode()[:1024] or b"failed")
    finally:
        os._exit(0)


def _nothing() -> None:
    """Do nothing: making the child was the test."""


def _grant_hosts() -> None:
    for listener in listeners.open_listeners(endpoint.parse_all(("example.com:25", "192.0.2.1:443"))):
        listener.close()


def _enter_private_root(who: identity.HostUser) -> None:
    if who.own:
        proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
        namespaces.map_identity(proc, who)
    tree = mounts.open_shown("/usr", "/usr")
    rootfs.enter()
    os.mkdir("/proc")
    rootfs.mount_proc()
    mounts.attach(tree)
    rootfs.leave_host()
    rootfs.make_read_only()


def _become_user(who: identity.HostUser) -> None:
    if not who.own:
        identity.become(who)


def _hold_to_landlock() -> None:
    identity.forbid_new_privileges()
    landlock.restrict(landlock.Grants(read=("/usr",), mounted=(), write=(), devices=(), tcp=False))
    try:
        os.listdir("/")
    except PermissionError:
        return
    raise OSError("it was loaded and denies nothing")


def _describe_landlock() -> str:
    missing = [name for least, name in landlock.LATER_RIGHTS if landlock.abi() < least]
    return f"ABI {landlock.abi()}" + (f", too old for {', '.join(missing)}" if missing else "")


def _hold_to_filter() -> None:
    if why := seccomp.missing():
        raise OSError(why)
    identity.forbid_new_privileges()
    seccomp.load(seccomp.program(network=False, namespaces=True))
    try:
        os.chroot("/")
    except PermissionError:
        return
    raise OSError("it was loaded and denies nothing")


def _limits() -> list[Finding]:
    with tempfile.TemporaryDirectory(prefix="isolane-doctor-") as folder:
        groups = cgroup.find(Path(folder) / "lock")
        problem = ""
        if groups is not None:
            try:
                groups.create(Limits(cpus=1.0)).remove()
            except OSError as error:
                problem = str(error)
            groups.close()
    if groups is None or problem:
        return [
            Finding(
                "limit",
                name,
                stands=False,
                detail=f"{problem or 'no cgroup'}; {instead}",
                remedy=remedies.for_cgroups(),
            )
            for name, instead in (
                ("memory", "a watchdog measures it fifty times a second instead, and what shows nowhere is refused"),
                ("processes", "by an rlimit instead"),
                ("cpu", "not limited"),
            )
        ]
    has_cpu = " cpu" in groups.description
    return [
        Finding("limit", "memory", stands=True, detail=groups.description),
        Finding("limit", "processes", stands=True, detail=groups.description),
        Finding("limit", "cpu", has_cpu, groups.description, "" if has_cpu else remedies.for_cgroups()),
    ]


def _dumps() -> Finding:
    """Whether a crash inside starts a program of the host that dumps memory."""
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8", errors="replace") as file:
        to_program = file.read().startswith("|")
    if to_program and not rlimits.can_forbid_dumps():
        detail = "core_pattern of this host is a program, which a limit of 0 on dumps does not keep from being started"
        return Finding(
            "limit", "dumps", stands=False, detail=detail, remedy="start isolane with `ulimit -Hc 1` or more"
        )
    detail = "core_pattern of this host is a program, which no crash inside starts" if to_program else "none are made"
    return Finding("limit", "dumps", stands=True, detail=detail)
