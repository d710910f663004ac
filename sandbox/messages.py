"""Messages between the runner and the processes that launch for it: one JSON object at a time, descriptors beside it.

The sockets are SOCK_SEQPACKET, so a message arrives whole or not at all.
"""

from __future__ import annotations

import json
import socket
from array import array
from collections.abc import Sequence
from struct import Struct
from typing import Any

MESSAGE_LIMIT = 160 << 10
MOST_DESCRIPTORS = 64

Message = dict[str, Any]
_SENDER = Struct("3i")  # pid, uid, gid


def send(peer: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send one message. Raises `OSError`."""
    data = json.dumps(message).encode()
    if descriptors:
        socket.send_fds(peer, [data], descriptors)
    else:
        peer.send(data)


def tell_senders(peer: socket.socket) -> None:
    """Have the kernel say of each message that comes which process sent it; then use `receive_from`."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)


def receive_from(peer: socket.socket) -> tuple[bytes, list[int], int]:
    """What came, empty at the end, with its descriptors and the pid of its sender, 0 if this process does not see it.

    Raises `OSError`.
    """
    size = socket.CMSG_SPACE(MOST_DESCRIPTORS * 4) + socket.CMSG_SPACE(_SENDER.size)
    data, ancillary, _, _ = peer.recvmsg(MESSAGE_LIMIT, size, socket.MSG_CMSG_CLOEXEC)
    beside = {kind: content for _, kind, content in ancillary}
    sender: int = _SENDER.unpack(beside.get(socket.SCM_CREDENTIALS, bytes(_SENDER.size)))[0]
    return data, array("i", beside.get(socket.SCM_RIGHTS, b"")).tolist(), sender


def receive(peer: socket.socket) -> tuple[Message, list[int]] | None:
    """One message and the descriptors that came with it; `None` at the end; an empty message for garbage.

    Raises `OSError`.
    """
    try:
        data, descriptors, _, _ = socket.recv_fds(peer, MESSAGE_LIMIT, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return receive(peer)  # it ended without having read all, which is told once; what it sent is there still
    return (parse(data), descriptors) if data else None


def parse(data: bytes) -> Message:
    """The message in these bytes, an empty one if they are garbage."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
