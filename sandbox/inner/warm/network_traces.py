"""The network namespace of an init's attempts. It serves one after another as long as none has left a trace in it.

No interface is up in it, so no packet is kept or counted. Still each attempt to send one is counted, for all to read,
and sockets in flight to themselves stay for a while. So what the kernel counts is looked at after each attempt, and if
anything of it moved, the next attempt has a new namespace, which costs more than the look. Where hosts are granted,
the listeners that were made in it are the relay's, and it serves only once.

The init itself stays in the zygote supervisor's namespace, or its own sockets would be counted here.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence

from sandbox.endpoint import Endpoint
from sandbox.kernel import syscalls
from sandbox.network import listeners

#: What counts attempts to send, for IPv4 and IPv6, and what lists labels of flows; without IPv6 some are not there.
_COUNTERS = ("snmp", "snmp6", "ip6_flowlabel")
#: Its first line says how many sockets there are, the others tell of the whole host.
_SOCKETS = "sockstat"
_MOST_BYTES = 64 << 10


class NetworkTraces:
    """See the module.

    Attributes:
        namespace: that attempts enter.
        listeners: on the addresses of the endpoints.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """Raises `SetupError` where an endpoint cannot be listened on, `OSError` for everything else."""
        self._home = _open("ns/net")
        self._endpoints = endpoints
        self._counters: list[int] = []
        self._sockets = self.namespace = -1
        self.listeners: list[socket.socket] = []
        self._begin()

    def renew(self) -> bool:
        """Have the next attempt find nothing of the last; whether that took a new namespace. Raises `OSError`."""
        if self._state() == self._untouched:
            return False
        for descriptor in (*self._counters, self._sockets, self.namespace):
            os.close(descriptor)
        self._begin()
        return True

    def _begin(self) -> None:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        self.namespace, self._sockets = _open("ns/net"), _open(f"net/{_SOCKETS}")
        self._counters = []
        for name in _COUNTERS:
            with contextlib.suppress(FileNotFoundError):
                self._counters.append(_open(f"net/{name}"))
        if self._endpoints:
            self.listeners = listeners.open_listeners(self._endpoints)
        syscalls.setns(self._home, syscalls.CLONE_NEWNET)
        self._untouched = self._state()

    def _state(self) -> tuple[bytes, ...]:
        sockets = os.pread(self._sockets, _MOST_BYTES, 0).partition(b"\n")[0]
        return sockets, *(os.pread(counter, _MOST_BYTES, 0) for counter in self._counters)


def _open(name: str) -> int:
    return os.open(f"/proc/self/{name}", os.O_RDONLY | os.O_CLOEXEC)
