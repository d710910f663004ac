"""What to do on a host where a wall or a limit does not stand, by what is found there."""

from __future__ import annotations

import os
import sys

from sandbox.host.cgroups import files
from sandbox.kernel import landlock
from sandbox.spec import Level

_APPARMOR = (
    "AppArmor takes the rights out of ordinary users' namespaces (Ubuntu 23.10 and later). Give the interpreter a "
    "profile of its own, where it is a copy and not a link to the system's (python3 -m venv --copies): "
    "printf '%s\\n' 'abi <abi/4.0>,' 'include <tunables/global>' "
    "'profile isolane {python} flags=(unconfined) {{ userns, }}' | sudo tee /etc/apparmor.d/isolane && "
    "sudo apparmor_parser -r /etc/apparmor.d/isolane; or run as root"
)
_CONTAINER = (
    "this is a container: start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--security-opt systempaths=unconfined{capability} (Podman: unmask=ALL for systempaths=unconfined), "
    "or as a privileged pod of its own node pool (Kubernetes)"
)
_ROOT_IN_A_CONTAINER = " and, as root in it, --cap-add SYS_ADMIN"
_CGROUPS_IN_A_CONTAINER = (
    "this is a container: start it with --cgroupns=private and --security-opt writable-cgroups=true (Docker 28 and "
    "later) or --security-opt unmask=/sys/fs/cgroup (Podman), and run isolane as root in it"
)
_READ_ONLY_V1 = (
    "the host has cgroup v1, which cannot be given to a container alone, and it is mounted read-only here: boot the "
    "host with systemd.unified_cgroup_hierarchy=1, or run isolane outside of the container"
)
_V1_UNDER_SYSTEMD = (
    "the controllers are in cgroup v1 here, where systemd delegates to nobody: boot with "
    "systemd.unified_cgroup_hierarchy=1, or "
)
_GIVEN_IN_V1 = (
    "have root give this user a folder in each hierarchy, and start it there: "
    "for c in memory pids cpu cpuacct; do d=/sys/fs/cgroup/$c/isolane; sudo mkdir -p $d && "
    "sudo chown $USER $d $d/tasks && echo $$ >$d/tasks; done; isolane serve"
)
_GIVEN_IN_V2 = (
    "have root give this user a folder, and start it there: d=/sys/fs/cgroup/isolane; sudo mkdir -p $d && "
    "echo +memory +pids +cpu | sudo tee $d/../cgroup.subtree_control && "
    "sudo chown $USER $d $d/cgroup.procs $d/cgroup.subtree_control && echo $$ | sudo tee $d/cgroup.procs; isolane serve"
)
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")


def for_level(level: Level) -> str:
    """How to get a level."""
    if level is Level.FULL:
        return for_namespaces()
    if level is Level.RESTRICTED:
        return for_landlock() if landlock.missing() else for_seccomp()
    return "Linux, and a folder for temporary files that can be written"


def for_namespaces() -> str:
    """How to get namespaces, and mounts in them."""
    if _value("/proc/sys/user/max_user_namespaces") == "0":
        return "sysctl user.max_user_namespaces=15000"
    if os.geteuid() != 0:
        if _value("/proc/sys/kernel/unprivileged_userns_clone") == "0":
            return "sysctl kernel.unprivileged_userns_clone=1"
        if _value("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
            return _APPARMOR.format(python=sys.executable)
    if _is_container():
        return _CONTAINER.format(capability=_ROOT_IN_A_CONTAINER if os.geteuid() == 0 else "")
    return "a kernel of Linux 5.12 or later with CONFIG_USER_NS, and nothing above that filters its calls"


def for_landlock() -> str:
    """How to get Landlock."""
    return "Linux 5.13 or later with `landlock` in the boot parameter lsm=, not filtered by a container"


def for_seccomp() -> str:
    """How to get the filter of system calls."""
    return "Linux 4.14 or later with CONFIG_SECCOMP_FILTER, on x86_64 or aarch64"


def for_cgroups() -> str:
    """How to get the kernel's own limits on a tree."""
    in_v1 = _folders_of_v1()
    if in_v1 and all(map(_is_read_only, in_v1)):
        return _READ_ONLY_V1
    if _is_container() and not in_v1:
        return _CGROUPS_IN_A_CONTAINER
    if os.geteuid() == 0:
        return "mount the cgroup filesystem, writable, with the controllers memory, pids and cpu"
    if in_v1:
        return (_V1_UNDER_SYSTEMD if _has_systemd() else "") + _GIVEN_IN_V1
    if _has_systemd():
        return (
            "start it with `systemd-run --user --scope -p Delegate=yes isolane serve`, "
            "or as a service with Delegate=yes (sandbox/host/cgroups/README.md has one)"
        )
    return _GIVEN_IN_V2


def _folders_of_v1() -> list[str]:
    """Where the hierarchies of version 1 are mounted that have controllers for us; none where version 2 has these."""
    mounts = files.mount_points()
    offered = [_value(f"{root}/cgroup.controllers") or "" for kind, _, root in mounts if kind == "cgroup2"]
    if any("memory" in each.split() for each in offered):
        return []
    return [str(root) for kind, controllers, root in mounts if kind == "cgroup" and controllers & {"memory", "pids"}]


def _is_read_only(folder: str) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _has_systemd() -> bool:
    return os.path.isdir("/run/systemd/system")


def _is_container() -> bool:
    return any(os.path.exists(mark) for mark in _CONTAINER_MARKS)


def _value(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None
