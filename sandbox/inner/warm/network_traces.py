"""The network namespace of an init's attempts. It serves one after another until one has left a trace in it.

No interface is up in it, so no packet is kept or counted. But the kernel counts each attempt to send one, for all to
read, and sockets in flight to themselves stay for a while. So these counters are read after each attempt, and if any
has changed, the next attempt gets a new namespace, which is more expensive than reading them. With granted hosts the
relay holds the listeners that were made in the namespace, and it serves only once.

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

#: Counters of attempts to send, for IPv4 and IPv6, and the list of flow labels; without IPv6 some do not exist.
_COUNTERS = ("snmp", "snmp6", "ip6_flowlabel")
#: Its first line says how many sockets there are, the others tell of the whole host.
_SOCKETS = "sockstat"
_MOST_BYTES = 64 << 10


class NetworkTraces:
    """The network namespace of one init, and what an attempt could have changed in it.

    Attributes:
        namespace: a descriptor of the namespace, which attempts enter.
        listeners: on the addresses of the endpoints.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """Raises `SetupError` if an endpoint cannot be listened on, `OSError` for everything else."""
        self._home = _open("ns/net")
        self._endpoints = endpoints
        self._counters: list[int] = []
        self._sockets = self.namespace = -1
        self.listeners: list[socket.socket] = []
        self._begin()

    def renew(self) -> bool:
        """Make a new namespace if the last attempt left a trace; whether it did. Raises `OSError`."""
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
