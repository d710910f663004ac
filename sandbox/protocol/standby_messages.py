"""The messages between an init, its zygote and its standby, and of the runner to a standby: bytes of a fixed form.

After a fork, every page that is written to has to be copied, on both sides, so reading a message must do little.

    init ──"namespaces", with the namespaces that standbys enter and the rules for their files──► zygote
    init ──"fork", with the standby's control socket and ipc namespace──► zygote ──exit: how the standby ended──► init
    standby ──"standing"──► init, which then gives the near end of the control socket to the runner
    runner ──"group", with the files by which processes join the attempt's cgroup──► init
    runner ──"yours", with the channel and pipes of the attempt──► standby
    runner ──the name of the attempt that it is now──► standby

An init trusts nothing that a zygote or a standby sends.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sandbox.protocol.messages import MOST_DESCRIPTORS, send_at_once, send_bytes

#: What a standby says when it is confined.
STANDING = b"standing"
#: What an init asks of its zygote.
NAMESPACES = b"namespaces"
FORK = b"fork"
_GROUP = b"group"
_YOURS = b"yours"
_NOT_FORKED = b"not forked"
_EXIT = struct.Struct("=iQQ")
_NAME_BYTES = 1024
_ANCILLARY_BYTES = socket.CMSG_SPACE(MOST_DESCRIPTORS * 4)


class Exit(NamedTuple):
    """How a standby ended, as far as the zygote reports it."""

    exit_code: int | None = None
    signal: int | None = None
    cpu_time_s: float | None = None
    peak_bytes: int | None = None


def give_namespaces(link: socket.socket, given: Sequence[int]) -> None:
    """Give the zygote the namespaces that the next standbys enter and, with Landlock, the ruleset for their files."""
    send_bytes(link, NAMESPACES, given)


def ask_for_fork(link: socket.socket, given: Sequence[int]) -> None:
    """Have the zygote fork a standby: `given` are the far end of its control socket and its ipc namespace."""
    send_bytes(link, FORK, given)


def asked(link: socket.socket) -> tuple[bytes, list[int]]:
    """What the init asks for, empty when it has ended, and the descriptors for that."""
    try:
        return _receive(link, len(NAMESPACES))
    except ConnectionError:
        return b"", []  # it ended with messages unread


def tell_exit(link: socket.socket, status: int, cpu_time_s: float, peak_bytes: int) -> None:
    """Tell the init of the standby's end, by its wait status."""
    _tell(link, _EXIT.pack(status, int(cpu_time_s * 1e6), peak_bytes))


def tell_not_forked(link: socket.socket) -> None:
    """Tell the init that there is no standby."""
    _tell(link, _NOT_FORKED)


def hear_exit(link: socket.socket) -> Exit:
    """Receive how a standby ended."""
    told, given = _receive(link, 2 * _EXIT.size)
    for descriptor in given:  # it has none to give
        os.close(descriptor)
    return read_exit(told)


def read_exit(told: bytes) -> Exit:
    """How a standby ended, by the bytes that the zygote sent; unknown if they are malformed."""
    if len(told) != _EXIT.size:
        return Exit()
    status, cpu_us, peak_bytes = _EXIT.unpack(told)
    if os.WIFEXITED(status):
        return Exit(os.WEXITSTATUS(status), None, cpu_us / 1e6, peak_bytes)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) <= 64:
        return Exit(None, os.WTERMSIG(status), cpu_us / 1e6, peak_bytes)
    return Exit()


def give_group(send: Callable[[bytes, Sequence[int]], None], procs: Sequence[int]) -> None:
    """Give the init the files by which its next standby joins its cgroup. Raises what `send` raises."""
    send(_GROUP, procs)


def take_group(line: socket.socket) -> list[int]:
    """Wait for the files of `give_group`; none if no attempt will come."""
    return _receive(line, len(_GROUP))[1]


def hand_over(control: socket.socket, given: Sequence[int]) -> None:
    """Give the standby the channel and pipes of the attempt.

    Raises `ConnectionError` if it is dead, and `CrowdedError`.
    """
    send_at_once(control, _YOURS, given)


def take_over(control: socket.socket) -> list[int]:
    """Wait for the channel and pipes of the attempt; none if no attempt will come."""
    return _receive(control, len(_YOURS))[1]


def call(control: socket.socket, name: str) -> None:
    """Have the standby become the attempt of this name. Raises `ConnectionError` if it is dead."""
    control.send(name.encode()[:_NAME_BYTES])


def await_call(control: socket.socket) -> bytes:
    """Wait to become an attempt: its name, empty if none will come."""
    return control.recv(_NAME_BYTES)


def _receive(peer: socket.socket, most: int) -> tuple[bytes, list[int]]:
    """As `socket.recv_fds`, which uses more objects."""
    data, ancillary, _, _ = peer.recvmsg(most, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
    return data, memoryview(ancillary[0][2]).cast("i").tolist() if ancillary else []


def _tell(link: socket.socket, what: bytes) -> None:
    try:
        link.send(what)
    except OSError:
        pass  # the init has ended
