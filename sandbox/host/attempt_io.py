"""What is one attempt's own: its channel, pipes and cgroup. The runner holds the near ends, the attempt the far ones.

All of it is taken before the attempt is launched, so a launch that fails for want of descriptors fails in the runner,
and leaves nothing.
"""

from __future__ import annotations

import os
import socket

from sandbox.host.cgroups import cgroup
from sandbox.host.confined import Confined
from sandbox.host.warm import footprint
from sandbox.protocol import messages


class AttemptIO:
    """See the module.

    Attributes:
        far: channel, stdout and stderr, for the attempt.
        procs: by which it joins its cgroup.
    """

    def __init__(self, group: cgroup.Group | None) -> None:
        """Raises `OSError`, having taken nothing."""
        opened: list[int] = []
        try:
            self._stdout, far_stdout = _pipe(opened)
            self._stderr, far_stderr = _pipe(opened)
            self._channel, far_channel = socket_pair(socket.SOCK_STREAM)
        except OSError:
            for descriptor in opened:
                os.close(descriptor)
            raise
        messages.take_no_descriptors(self._channel)
        self._group = group
        self.far = [far_channel.detach(), far_stdout, far_stderr]
        self.procs = group.procs if group is not None else ()

    def is_idle(self) -> bool:
        """Whether who has them, and is no attempt yet, does nothing but wait."""
        return self._group is None or footprint.is_idle(self._group)

    def allow_memory(self, memory_bytes: int) -> None:
        """Who waited with them becomes an attempt, and may use so much memory. Raises `OSError`."""
        if self._group is not None:
            self._group.limit_memory(memory_bytes)

    def close_far(self) -> None:
        """They have been handed over, or never will be."""
        while self.far:
            os.close(self.far.pop())

    def confined(self, control: socket.socket) -> Confined:
        """Who owns the rest from now on."""
        return Confined(self._group, control, self._channel, self._stdout, self._stderr)

    def discard(self) -> None:
        """No attempt will have it, and whoever had it is dead."""
        self.close_far()
        self._channel.close()
        os.close(self._stdout)
        os.close(self._stderr)
        if self._group is not None:
            self._group.remove()


def socket_pair(kind: int) -> tuple[socket.socket, socket.socket]:
    """Two connected sockets, the first non-blocking."""
    near, far = socket.socketpair(socket.AF_UNIX, kind)
    near.setblocking(False)
    return near, far


def _pipe(opened: list[int]) -> tuple[int, int]:
    near, far = os.pipe2(os.O_CLOEXEC)
    opened += near, far
    os.set_blocking(near, False)
    return near, far
