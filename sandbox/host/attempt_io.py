"""What is one attempt's own: its channel, pipes and cgroup. The runner holds the near ends, the attempt the far ones.

All of it is made before the attempt is launched. So a launch that fails because no descriptors are left fails in the
runner, and leaves nothing behind.
"""

from __future__ import annotations

import os
import socket

from sandbox.host.cgroups import cgroup
from sandbox.host.confined import Confined
from sandbox.host.warm import footprint
from sandbox.protocol import messages


class AttemptIO:
    """The channel, pipes and cgroup of one attempt.

    Attributes:
        far: the attempt's ends of channel, stdout and stderr.
        procs: the files by which it joins its cgroup.
    """

    def __init__(self, group: cgroup.Group | None) -> None:
        """Raises `OSError`; nothing is left open then."""
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
        """Whether the standby that holds the far ends does nothing but wait."""
        return self._group is None or footprint.is_idle(self._group)

    def allow_memory(self, memory_bytes: int) -> None:
        """Let the standby, which becomes an attempt, use so much memory. Raises `OSError`."""
        if self._group is not None:
            self._group.limit_memory(memory_bytes)

    def close_far(self) -> None:
        """Close the far ends: they have been handed over, or never will be."""
        while self.far:
            os.close(self.far.pop())

    def confined(self, control: socket.socket) -> Confined:
        """The attempt as its caller holds it, which owns the near ends from now on."""
        return Confined(self._group, control, self._channel, self._stdout, self._stderr)

    def discard(self) -> None:
        """Close everything: no attempt will use it, and the standby that had it is dead."""
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
