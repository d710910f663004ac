"""Where in the one hierarchy of cgroup v2 groups may be made, and with which controllers.

A cgroup hands controllers down to those below it only while no process is in it itself, the topmost excepted. So where
this process's own cgroup was delegated to it, all processes in there move to a leaf below it first:

    isolane.service          delegated to us
    ├── isolane-runner       the runner, and what else was started with it
    └── isolane-<hash>       our folder, one for each lock file, with a group for each attempt

To an ordinary user every cgroup is delegated that it may write to: a unit of its own systemd, a service with
`Delegate=yes`. Root may write to all, so to root only those are delegated that systemd marked so, and a container's own
top. Elsewhere nothing is moved, since those cgroups belong to somebody else; root makes its folder at the top then.

The leaf is never removed: it ends with the service, and the next runner of that service starts in it.
"""

from __future__ import annotations

import os
from pathlib import Path

from sandbox.host.cgroups import files

NEEDED = ("memory", "pids")
WELCOME = ("cpu",)
_LEAF = "isolane-runner"
_MARKS = ("trusted.delegate", "user.delegate")

#: Processes that are forked meanwhile appear in the old place.
_ROUNDS = 10


def folder_for_groups(name: str) -> tuple[Path, set[str]] | None:
    """A folder of this name and the controllers of groups in it; `None` unless memory and pids are available."""
    for kind, _, root in files.mount_points():
        if kind == "cgroup2":
            for base in _bases(root):
                folder = base / name
                if controllers := _prepare(base, folder):
                    return folder, controllers
    return None


def _bases(root: Path) -> list[Path]:
    """The cgroups in which the folder may be made: first our own, then the top, which is for root."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::/") and "/../" not in line:
            own = root / line[len("0::/") :]
            if own.name == _LEAF:
                own = own.parent
            return [own, root] if own != root else [root]
    return [root]


def _prepare(base: Path, folder: Path) -> set[str]:
    """Make `folder`, and enable controllers for groups in it; which, empty if they are not enough."""
    try:
        offered = {*NEEDED, *WELCOME} & _words(base / "cgroup.controllers")
        if not offered.issuperset(NEEDED):
            return set()
        folder.mkdir(exist_ok=True)
    except OSError:
        return set()
    if not os.access(folder, os.W_OK):  # another user has made a folder of this name
        return set()
    try:
        if offered - _words(base / "cgroup.subtree_control") and _is_given(base):
            _clear(base)
        enabled = {
            controller for controller in offered if _hand_down(controller, base) and _hand_down(controller, folder)
        }
    except OSError:
        enabled = set()
    if not enabled.issuperset(NEEDED):
        files.remove_folder(folder)
        return set()
    return enabled


def _is_given(base: Path) -> bool:
    """Whether `base`, in which we could make a folder, is delegated to us."""
    if os.geteuid() != 0:
        return True
    if os.path.ismount(base):
        return (base / "cgroup.type").exists()  # not at the machine's top, so a container's
    for mark in _MARKS:
        try:
            if os.getxattr(base, mark) == b"1":
                return True
        except OSError:
            continue
    return False


def _clear(base: Path) -> None:
    """Move every process of `base` to the leaf."""
    leaf = base / _LEAF
    leaf.mkdir(exist_ok=True)
    for _ in range(_ROUNDS):
        pids = _words(base / "cgroup.procs")
        if not pids:
            return
        for pid in pids:
            try:
                files.write(leaf / "cgroup.procs", pid)
            except ProcessLookupError:
                continue  # it has ended


def _hand_down(controller: str, parent: Path) -> bool:
    """Enable this controller for the groups below `parent`; `False` if that is not possible."""
    control = parent / "cgroup.subtree_control"
    if controller not in _words(control):
        try:
            files.write(control, f"+{controller}")
        except OSError:
            return False  # not ours, or (EBUSY) there are processes in `parent` itself
    return controller in _words(control)


def _words(path: Path) -> set[str]:
    return set(path.read_text().split())
