"""The floor: what the operating system alone takes for a confined process. Run as `python -I -S floor.py`.

Fork from a small bare Python, unshare all seven namespaces, fork again into them, exit, reap. For each number that it
reads, a line, it does that so many times and writes how long each took, in seconds, on one line.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time

#: mount, cgroup, uts, ipc, user, pid and net.
SEVEN = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000

_unshare = ctypes.CDLL(None).unshare


def floor() -> float:
    begin = time.perf_counter()
    outer = os.fork()
    if outer == 0:
        if _unshare(SEVEN) != 0:
            os._exit(1)
        inner = os.fork()
        if inner == 0:
            os._exit(0)
        os.waitpid(inner, 0)
        os._exit(0)
    _, status = os.waitpid(outer, 0)
    if status:
        sys.exit("floor: this machine does not allow all seven namespaces")
    return time.perf_counter() - begin


if __name__ == "__main__":
    for line in sys.stdin:
        print(*(floor() for _ in range(int(line))), flush=True)
