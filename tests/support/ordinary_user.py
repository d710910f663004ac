"""Runs a command as an ordinary user who was given a cgroup, as on a host that delegates; for root, in `tests/`:

    ../.venv/bin/python -m support.ordinary_user pytest tests/sandbox

The user has a uid that nobody else has, no groups, a folder for all that it writes, and in it a copy of this checkout,
where the command runs. What lies in folders that only root may enter (an interpreter below /root, for one) is seen by
it at the same path, in a mount namespace of its own. When the command has ended, all that is taken away; a process that
stayed is an error that names it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.host.cgroups import delegation, files
from sandbox.kernel import mount_calls, syscalls
from support.waiting import eventually

_CHECKOUT = Path(__file__).resolve().parents[2]
_CONTROLLERS = {"memory", "pids", "cpu", "cpuacct"}
_GIVEN = (".", "tasks", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control")


def main(command: Sequence[str]) -> int:
    """Run it; its exit code."""
    if os.geteuid() != 0:
        raise SystemExit("only root can become another user")
    uid = 1_000_000_000 + os.getpid()
    with _home(uid) as home, _cgroups(uid) as cgroups:
        child = os.fork()
        if child == 0:
            _become(uid, home, cgroups, command)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal says it to the command too
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _become(uid: int, home: Path, cgroups: Sequence[Path], command: Sequence[str]) -> None:
    """In the child: become the user and run its command."""
    try:
        for cgroup in cgroups:
            (cgroup / "cgroup.procs").write_text("0")
        _open_ways_to({Path(sys.prefix), Path(sys.base_prefix), home})
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        _check_that_python_is_readable()
        copy = home / "checkout"
        os.chdir(copy)
        os.environ |= {
            "HOME": str(home),
            "TMPDIR": str(home),
            "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
            "PYTHONPATH": f"{copy}:{copy}/tests",
        }
        os.execvp(command[0], command)
    except BaseException as error:
        print(error, file=sys.stderr, flush=True)
    finally:
        os._exit(126)


def _check_that_python_is_readable() -> None:
    for path in (sys.executable, os.__file__, pytest.__file__):
        if not os.access(path, os.R_OK):
            raise SystemExit(
                f"no ordinary user can read {os.path.realpath(path)}, which tests as one need: chmod o+r it"
            )


def _open_ways_to(paths: set[Path]) -> None:
    """In a new mount namespace, put over each folder that only some may enter one that has just the way to `paths`."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    mount_calls.make_mounts_private()
    behind: dict[Path, dict[Path, int]] = {}
    for path in sorted(paths | {path.resolve() for path in paths}):
        for folder in reversed(path.parents):
            if not folder.stat().st_mode & 0o001:
                behind.setdefault(folder, {})[path] = mount_calls.clone_mount(str(path))
                break
    for folder, trees in behind.items():
        mount_calls.mount("isolane", str(folder), "tmpfs", 0, "mode=755,size=1m")
        for path, tree in trees.items():
            path.mkdir(parents=True, exist_ok=True)
            mount_calls.attach_mount(tree, str(path))
            os.close(tree)


@contextmanager
def _home(uid: int) -> Iterator[Path]:
    """The user's folder, with its copy of the checkout."""
    with tempfile.TemporaryDirectory(prefix="isolane-") as folder:
        home = Path(folder)
        shutil.copytree(_CHECKOUT, home / "checkout", symlinks=True, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        for path in (home, *home.rglob("*")):
            os.chown(path, uid, uid, follow_symlinks=False)
        yield home


@contextmanager
def _cgroups(uid: int) -> Iterator[list[Path]]:
    """A cgroup of the user's own in each hierarchy that is used; none where root can have none either."""
    name = f"isolane-test-user-{os.getpid()}"
    version_2 = delegation.folder_for_groups(name)
    if version_2 is not None:
        made = [version_2[0], version_2[0] / "user"]
    else:
        hierarchies = [path for _, controllers, path in files.mount_points() if controllers & _CONTROLLERS]
        made = [path / name for path in hierarchies if os.access(path, os.W_OK)]
    try:
        for folder in made:
            folder.mkdir(exist_ok=True)
        given = made if version_2 is None else made[1:]
        for folder in given:
            for part in _GIVEN:
                if (folder / part).exists():
                    os.chown(folder / part, uid, uid)
        yield given
    finally:
        _clear(made)


def _clear(tops: Sequence[Path]) -> None:
    """Remove them, once what has just died is gone. What lives on is killed, and an error."""
    folders = [Path(path) for top in tops for path, _, _ in os.walk(top, topdown=False)]

    def are_gone() -> bool:
        for folder in folders:
            files.remove_folder(folder)
        return not any(folder.exists() for folder in folders)

    try:
        eventually(are_gone, within_s=5)
    except AssertionError:
        left = {pid for folder in folders if folder.exists() for pid in (folder / "cgroup.procs").read_text().split()}
        for pid in left:
            os.kill(int(pid), signal.SIGKILL)
        eventually(are_gone, within_s=5)
        raise SystemExit(f"the ordinary user left processes: {', '.join(left)}") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
