"""A lease: confined processes end when their holder has not extended it for a while.

    holder ──extend──► one number in shared memory ◄──reads── supervisors

The number is the instant until which attempts launched under the lease may run, by CLOCK_BOOTTIME, which goes on while
the machine sleeps and which nobody can set. Extending takes one write for any number of attempts, and no message. Each
supervisor sleeps until the end that it read, looks again, and takes its tree down if the end has come: also while the
holder is stopped, starved or cut off. A lease that is over stays over. Whatever was launched under it is dead, or dies
before anything of the task runs; a holder that goes on takes a new lease.

The task never sees it: the supervisor maps the memory, read-only, after it has forked the task. Why leases are made
like this is told in the README beside this file.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
import weakref

from sandbox.errors import SetupError
from sandbox.kernel import syscalls

_BYTES = 8


def boot_clock_ns() -> int:
    """Nanoseconds since this machine's start, including the time in which it slept."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Lease:
    """The holder's side. Safe to use from any thread; gives its memory back when nobody holds it any more.

    Attributes:
        descriptor: the shared memory, read-only.
    """

    def __init__(self, until_ns: int) -> None:
        """`until_ns` is the first end, by `boot_clock_ns`."""
        memory = os.memfd_create("isolane-lease", os.MFD_CLOEXEC)
        try:
            os.ftruncate(memory, _BYTES)
            # Written by one aligned store: no supervisor ever reads half of an old and half of a new end.
            self._end = memoryview(mmap.mmap(memory, _BYTES)).cast("Q")
            self._end[0] = until_ns
            self.descriptor = os.open(f"/proc/self/fd/{memory}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(memory)
        weakref.finalize(self, os.close, self.descriptor)

    @property
    def until_ns(self) -> int:
        """The end, by `boot_clock_ns`."""
        return self._end[0]

    @property
    def is_over(self) -> bool:
        """Whether the end has come; it stays so."""
        return boot_clock_ns() >= self._end[0]

    def extend(self, until_ns: int) -> bool:
        """Move the end; `False` if it has come already: then it stays where it is."""
        if self.is_over:
            return False
        self._end[0] = max(until_ns, self._end[0])
        return True


class Watch:
    """The supervisor's side.

    Attributes:
        timer: a descriptor that is readable once the end that was last read has come; then call `is_over`.
    """

    def __init__(self, descriptor: int) -> None:
        self._end = memoryview(mmap.mmap(descriptor, _BYTES, prot=mmap.PROT_READ)).cast("Q")
        self.timer = syscalls.timerfd_boottime()
        self.is_over()

    def is_over(self) -> bool:
        """Whether the end has come; if not, the timer is set to the end as it is now."""
        until_ns = self._end[0]
        if boot_clock_ns() >= until_ns:
            return True
        syscalls.set_timer(self.timer, until_ns)
        return False


def check(descriptor: int) -> None:
    """Raise `SetupError` if the lease in this shared memory is over."""
    if boot_clock_ns() >= int.from_bytes(os.pread(descriptor, _BYTES, 0), sys.byteorder):
        raise SetupError("lease", "it is over")
