"""An attempt's own network, where single hosts are granted to it.

Its network namespace has nothing but loopback. Each granted name gets an address of its own there (127.64.0.1 and on,
by /etc/hosts), and each granted literal address is added as it is. For every granted host and port a listening socket
is made here, by trusted code with capabilities, and given to the runner. Its relay accepts on the socket and connects
to the real host (`relay`). The task connects as it would anywhere: same name, same port, so TLS works too.

`open_listeners` and `hand_out` work in the network namespace of the caller.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterable, Sequence

from sandbox.endpoint import Endpoint
from sandbox.errors import SetupError
from sandbox.protocol import messages

_HOSTS = "127.0.0.1 localhost\n::1 localhost\n"
_BACKLOG = 64
#: The kernel's buffer for the relay's end of a connection, in each direction.
_BUFFER_BYTES = 128 << 10

_LOOPBACK = 1  # its index, in every new namespace
_RTM_NEWLINK, _RTM_NEWADDR = 16, 20
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_CREATE = 1, 4, 0x400
_NLMSG_ERROR = 2
_IFF_UP = 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_F_NODAD = 2


def hosts_file(endpoints: Iterable[Endpoint]) -> str:
    """The text of /etc/hosts, which gives each granted name its address."""
    addresses = _addresses(endpoints)
    own = "".join(f"{addresses[host]} {host}\n" for host in addresses if addresses[host] != host)
    return own if "localhost" in addresses else _HOSTS + own


def open_listeners(endpoints: Sequence[Endpoint]) -> list[socket.socket]:
    """Bring loopback up, with the addresses of `endpoints`; returns a listener on each, in their order.

    Needs the capabilities to administer the caller's network namespace, and to bind ports below 1024 there.
    Raises `SetupError`.
    """
    _bring_up_loopback(endpoints)
    addresses = _addresses(endpoints)
    with contextlib.ExitStack() as opened:
        listeners = []
        for endpoint in endpoints:
            try:
                listener = opened.enter_context(socket.socket(endpoint.family or socket.AF_INET))
                for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                    listener.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
                listener.bind((addresses[endpoint.host], endpoint.port))
                listener.listen(_BACKLOG)
            except OSError as error:
                raise _refused(endpoint, error) from error
            listeners.append(listener)
        opened.pop_all()
    return listeners


def hand_out(control: int, listeners: Sequence[socket.socket]) -> None:
    """Send the listeners to the runner, in one message on a control socket, and close them here."""
    message = b'{"listening":true}'
    with socket.socket(fileno=os.dup(control)) as runner, contextlib.ExitStack() as opened:
        for listener in listeners:
            opened.enter_context(listener)
        messages.send_bytes(runner, message, [listener.fileno() for listener in listeners])


def _addresses(endpoints: Iterable[Endpoint]) -> dict[str, str]:
    """Each host's address in the namespace; a literal address is its own."""
    endpoints = tuple(endpoints)
    literal = {endpoint.host: endpoint.host for endpoint in endpoints if endpoint.family}
    free = (address for number in range(1, 255) if (address := f"127.64.0.{number}") not in literal)
    names = dict.fromkeys(endpoint.host for endpoint in endpoints if not endpoint.family)
    return {**{name: next(free) for name in names}, **literal}


def _bring_up_loopback(endpoints: Iterable[Endpoint]) -> None:
    added = {endpoint.host: endpoint for endpoint in endpoints if endpoint.family}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        _ask(kernel, _RTM_NEWLINK, 0, struct.pack("=BxHiII", 0, 0, _LOOPBACK, _IFF_UP, _IFF_UP))
        for endpoint in added.values():
            address = socket.inet_pton(endpoint.family, endpoint.host)
            header = struct.pack("=BBBBI", endpoint.family, len(address) * 8, _IFA_F_NODAD, 0, _LOOPBACK)
            attributes = b"".join(
                struct.pack("=HH", 4 + len(address), kind) + address for kind in (_IFA_LOCAL, _IFA_ADDRESS)
            )
            try:
                _ask(kernel, _RTM_NEWADDR, _NLM_F_CREATE, header + attributes)
            except FileExistsError:
                pass  # loopback's own
            except OSError as error:
                raise _refused(endpoint, error) from error


def _ask(kernel: socket.socket, kind: int, flags: int, body: bytes) -> None:
    """One request of rtnetlink. Raises the `OSError` that the kernel answers."""
    kernel.send(struct.pack("=IHHII", 16 + len(body), kind, _NLM_F_REQUEST | _NLM_F_ACK | flags, 0, 0) + body)
    answer = kernel.recv(4096)
    _, answered, _, _, _, error = struct.unpack_from("=IHHIIi", answer)
    if answered != _NLMSG_ERROR:
        raise OSError(errno.EPROTO, "rtnetlink gave another answer than was asked for")
    if error:
        raise OSError(-error, os.strerror(-error))


def _refused(endpoint: Endpoint, error: OSError) -> SetupError:
    hint = "; this host may have no IPv6" if endpoint.family == socket.AF_INET6 else ""
    return SetupError("network", f"{endpoint} cannot be granted: {error.strerror}{hint}", error.errno)
