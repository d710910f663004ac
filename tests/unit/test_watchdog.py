from __future__ import annotations

import subprocess
import sys
import threading

from runner.engine.watchdog import Watchdog, tree_memory

HOARD = "import sys; kept = b'x' * {size}; sys.stdin.read()"
MB = 1 << 20


def started(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE)


def ended(process: subprocess.Popen[bytes]) -> None:
    process.communicate()


def test_it_tells_of_a_tree_that_passes_its_limit_once() -> None:
    told, excess = threading.Event(), list[None]()
    hoarder = started(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOARD.format(size=64 * MB)!r}])")
    watchdog = Watchdog()

    def on_excess() -> None:
        excess.append(None)
        told.set()

    watchdog.watch(hoarder.pid, 48 * MB, on_excess)
    assert told.wait(20)
    watchdog.close()
    ended(hoarder)
    assert len(excess) == 1


def test_it_leaves_alone_what_stays_below() -> None:
    modest = started("import sys; print('up', flush=True); sys.stdin.read()")
    watchdog = Watchdog()
    watchdog.watch(modest.pid, 64 * MB, modest.kill)

    assert tree_memory(modest.pid) < 64 * MB
    ended(modest)
    watchdog.close()
    assert modest.returncode == 0


def test_a_process_that_is_gone_uses_nothing() -> None:
    gone = started("pass")
    ended(gone)

    assert tree_memory(gone.pid) == 0
