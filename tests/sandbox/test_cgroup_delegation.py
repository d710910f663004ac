"""Making room in a cgroup that was given to us, in the hierarchy of version 2, with or without controllers."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from sandbox.host.cgroups import delegation, files
from sandbox.kernel import syscalls


@pytest.fixture
def place():
    """The top of the hierarchy, and a cgroup of our own in it."""
    for kind, _, root in files.mount_points():
        for base in delegation._bases(root) if kind == "cgroup2" else ():
            own = base / f"isolane-test-{os.getpid()}"
            try:
                own.mkdir()
            except OSError:
                continue
            yield root, own
            for folder in (own / "isolane-runner", own):
                files.remove_folder(folder)
            assert not own.exists()
            return
    pytest.skip("no cgroup of version 2 can be made here")


@pytest.fixture
def inhabitant(place):
    """A process in it, which says on demand where it would make groups."""
    root, own = place
    near, far = socket.socketpair()
    child = os.fork()
    if child == 0:
        while far.recv(1):
            far.send(str(delegation._bases(root)[0]).encode())
        os._exit(0)
    with near, far:
        files.write(own / "cgroup.procs", str(child))
        yield child, near
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def living_in(folder):
    return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]


def test_what_lives_there_moves_to_a_leaf_and_still_finds_the_place(place, inhabitant):
    _, own = place
    child, conversation = inhabitant
    assert living_in(own) == [child]

    delegation._clear(own)
    delegation._clear(own)

    assert living_in(own) == []
    assert living_in(own / "isolane-runner") == [child]
    conversation.send(b"?")
    assert Path(conversation.recv(4096).decode()) == own


@pytest.mark.skipif(os.geteuid() != 0, reason="to an ordinary user all is given that it may write to")
def test_root_clears_only_what_is_marked_as_delegated(place):
    _, own = place
    before = delegation._is_given(own)

    os.setxattr(own, "trusted.delegate", b"1")

    assert (before, delegation._is_given(own)) == (False, True)


def test_without_controllers_for_memory_and_processes_nothing_is_made(place):
    _, own = place
    inner = own / "inner"
    inner.mkdir()  # nothing is handed down to it

    assert not delegation._prepare(inner, inner / "isolane-0")

    assert [path for path in inner.iterdir() if path.is_dir()] == []
    inner.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may begin a pid namespace without a user namespace")
def test_a_sweep_from_another_pid_namespace_does_not_kill_its_own_process_group(place, inhabitant):
    """There what lives in a group is listed as 0, which to `kill` is a process group."""
    _, own = place
    group = own / "1"
    group.mkdir()
    files.write(group / "cgroup.procs", str(inhabitant[0]))

    child = os.fork()
    if child == 0:
        os.setsid()
        syscalls.unshare(syscalls.CLONE_NEWPID)
        swept = os.fork()
        if swept == 0:
            files.sweep_folder(own)
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(swept, 0)[1]) & 0xFF)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not group.exists()
