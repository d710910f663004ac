"""What is measured of a tree where no cgroup counts it, and when that is told."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from sandbox.host.tree_memory import ProcessTree
from sandbox.host.watchdog import Watchdog
from support.waiting import eventually

MB = 1 << 20
FOREVER = 1 << 50
#: Each is what a process below the root of a tree does, and holds some 64 MB by it.
HOARDS = {
    "memory": "kept = b'x' * (64 << 20)",
    "memory of its child": "os.fork() and os.wait() and os._exit(0)\nkept = b'x' * (64 << 20)",
    "shared memory that nobody has resident": """
import mmap
kept = mmap.mmap(-1, 64 << 20)
kept.write(b'x' * len(kept))
kept.madvise(mmap.MADV_DONTNEED)""",
    "shared memory that a child took over": """
import mmap
kept = mmap.mmap(-1, 64 << 20)
kept.write(b'x' * len(kept))
closed, close = os.pipe()
if os.fork():
    kept.close()
    os.close(close)
    os._exit(os.wait()[1])
os.close(close)
os.read(closed, 1)""",
    "page tables": """
import mmap
kept = mmap.mmap(-1, 32 << 30, flags=mmap.MAP_PRIVATE | 0x4000, prot=mmap.PROT_READ)
[kept[place] for place in range(0, len(kept), 2 << 20)]""",
    "buffers of sockets": """
import socket
kept = [socket.socketpair() for _ in range(190)]""",
    "pipes": """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (2100, 2100))
kept = [os.pipe() for _ in range(1000)]""",
}
BELOW = """
import os, sys
if os.fork() == 0:
    {code}
    print("up", flush=True)
    if {hides}:
        import ctypes
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
    sys.stdin.read()
else:
    os.wait()
"""


@pytest.fixture
def start():
    """Start a process whose child does something; what is measured is the child."""
    processes = []

    def begin(code: str, *, hides: bool = False) -> subprocess.Popen[bytes]:
        code = BELOW.format(code=code.replace("\n", "\n    "), hides=hides)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        return process

    yield begin
    for process in processes:
        process.communicate()


@pytest.mark.parametrize("hides", [False, True], ids=["", "hidden"])
@pytest.mark.parametrize("kind", HOARDS)
def test_all_that_it_holds_is_measured(start, kind, hides):
    hoarder = start(HOARDS[kind], hides=hides)

    assert ProcessTree(hoarder.pid, has_network=False).used_bytes(32 * MB) > 32 * MB


def test_what_processes_share_counts_once(start):
    sharing = start("kept = b'x' * (64 << 20)\n[os.fork() or sys.stdin.read() or os._exit(0) for _ in range(4)]")

    assert ProcessTree(sharing.pid, has_network=False).used_bytes(FOREVER) > 256 * MB
    assert ProcessTree(sharing.pid, has_network=False).used_bytes(128 * MB) < 128 * MB


def test_it_tells_of_a_tree_that_passes_its_limit_once(start):
    told, excess = threading.Event(), []
    hoarder = start(HOARDS["memory of its child"])
    watchdog = Watchdog()

    def on_excess() -> None:
        excess.append(None)
        told.set()

    watched = watchdog.watch(ProcessTree(hoarder.pid, has_network=False), 48 * MB, on_excess)
    assert told.wait(20)
    watchdog.close()

    assert len(excess) == 1
    assert watched.peak_bytes > 48 * MB


def test_it_leaves_alone_what_stays_below_and_sees_what_it_used(start):
    modest = start("sum(range(5_000_000))")
    watchdog = Watchdog()
    watched = watchdog.watch(ProcessTree(modest.pid, has_network=False), 64 * MB, modest.kill)

    eventually(lambda: watched.cpu_time_s > 0)
    assert 0 < watched.peak_bytes < 64 * MB
    modest.communicate()
    eventually(lambda: not any(thread.name == "memory watchdog" for thread in threading.enumerate()))
    watchdog.close()
    assert modest.returncode == 0


def test_a_process_that_is_gone_uses_nothing(start):
    gone = start("pass")
    tree = ProcessTree(gone.pid, has_network=False)
    assert tree.is_alive()
    gone.communicate()

    assert not tree.is_alive()
    assert tree.used_bytes(0) == 0
    assert tree.cpu_time_s() == 0


def test_a_pid_that_another_has_now_is_not_its_own(start, monkeypatch):
    tree = ProcessTree(start("pass").pid, has_network=False)
    monkeypatch.setattr(tree, "_pid", os.getpid())

    assert not tree.is_alive()
