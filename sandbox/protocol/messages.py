"""Messages between the runner and the processes that launch for it: one JSON object at a time, with descriptors.

The sockets are SOCK_SEQPACKET, so a message arrives whole or not at all.

The kernel counts the descriptors that a user has on their way in messages. If these are more than the sender may have
open, it refuses further ones (ETOOMANYREFS). Attempts of the same user may have sent them, so this means "not now": a
sender that can wait tries again for a while, since there are fewer once an attempt has ended.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import time
from array import array
from collections.abc import Sequence
from struct import Struct
from typing import Any

#: The most bytes of a launch, and of every other message. Receiving into a buffer of more than 128 KB takes ten times
#: as long, whatever the message has: the C library maps memory for it.
MESSAGE_LIMIT = 160 << 10
SHORT_LIMIT = 64 << 10
MOST_DESCRIPTORS = 64
#: How long it is tried to send descriptors of which too many are on their way, in seconds, and how often.
CROWDED_PATIENCE_S = 10.0
CROWDED_PAUSE_S = 0.02

Message = dict[str, Any]
_SENDER = Struct("3i")  # pid, uid, gid
_SO_PASSRIGHTS = 83


def send(peer: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send one message. Raises `OSError`."""
    send_bytes(peer, json.dumps(message).encode(), descriptors)


def send_bytes(peer: socket.socket, data: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send these bytes as one message; blocks while too many descriptors are on their way. Raises `OSError`."""
    if not descriptors:
        peer.send(data)
        return
    until = time.monotonic() + CROWDED_PATIENCE_S
    while time.monotonic() < until:
        with contextlib.suppress(CrowdedError):
            send_at_once(peer, data, descriptors)
            return
        time.sleep(CROWDED_PAUSE_S)
    send_at_once(peer, data, descriptors)


def send_at_once(peer: socket.socket, data: bytes, descriptors: Sequence[int]) -> None:
    """Send these bytes without waiting. Raises `CrowdedError` while too many descriptors are on their way."""
    try:
        socket.send_fds(peer, [data], list(descriptors))
    except OSError as error:
        if error.errno == errno.ETOOMANYREFS:
            raise CrowdedError(error.errno, "too many descriptors of this user are on their way") from error
        raise


class CrowdedError(OSError):
    """Too many descriptors of this user are on their way. Both ends are still usable: send again later."""


def take_no_descriptors(peer: socket.socket) -> None:
    """Have the kernel refuse descriptors that are sent to `peer`, from Linux 6.16 on.

    A process that is sent a descriptor may be the last to hold it, even if it never receives it. Closing it then frees
    everything behind it, and with a TCP connection may wait for the other side.
    """
    with contextlib.suppress(OSError):  # an older kernel
        peer.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)


def tell_senders(peer: socket.socket) -> None:
    """Have the kernel attach the sender's pid to each message; then use `receive_from`."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)


def receive_from(peer: socket.socket) -> tuple[bytes, list[int], int]:
    """One message, empty at the end; its descriptors; and its sender's pid, 0 if this process cannot see that.

    Raises `OSError`.
    """
    size = socket.CMSG_SPACE(MOST_DESCRIPTORS * 4) + socket.CMSG_SPACE(_SENDER.size)
    data, ancillary, _, _ = peer.recvmsg(SHORT_LIMIT, size, socket.MSG_CMSG_CLOEXEC)
    beside = {kind: content for _, kind, content in ancillary}
    sender: int = _SENDER.unpack(beside.get(socket.SCM_CREDENTIALS, bytes(_SENDER.size)))[0]
    return data, array("i", beside.get(socket.SCM_RIGHTS, b"")).tolist(), sender


def receive(peer: socket.socket, most_bytes: int = SHORT_LIMIT) -> tuple[Message, list[int]] | None:
    """One message and the descriptors that came with it; `None` at the end; an empty message for garbage.

    Raises `OSError`.
    """
    try:
        data, descriptors, _, _ = socket.recv_fds(peer, most_bytes, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        # It ended with messages unread, which is reported once; what it sent can still be received.
        return receive(peer, most_bytes)
    return (parse(data), descriptors) if data else None


def parse(data: bytes) -> Message:
    """The message in these bytes, an empty one if they are garbage."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
