"""Messages between the runner and the processes that launch for it: one JSON object at a time, descriptors beside it.

The sockets are SOCK_SEQPACKET, so a message arrives whole or not at all.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

MESSAGE_LIMIT = 160 << 10
MOST_DESCRIPTORS = 64

Message = dict[str, Any]


def send(peer: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send one message. Raises `OSError`."""
    data = json.dumps(message).encode()
    if descriptors:
        socket.send_fds(peer, [data], descriptors)
    else:
        peer.send(data)


def receive(peer: socket.socket) -> tuple[Message, list[int]] | None:
    """One message and the descriptors that came with it; `None` at the end; an empty message for garbage.

    Raises `OSError`.
    """
    data, descriptors, _, _ = socket.recv_fds(peer, MESSAGE_LIMIT, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        message = {}
    return (message if isinstance(message, dict) else {}), descriptors
