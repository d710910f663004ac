"""Messages between processes of which one may end at any time."""

from __future__ import annotations

import socket

from sandbox.protocol import messages


def test_what_a_process_said_is_heard_though_it_ended_without_having_read_all():
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near:
        messages.send(near, {"unread": True})
        messages.send(far, {"last": "words"})
        far.close()

        assert messages.receive(near) == ({"last": "words"}, [])
        assert messages.receive(near) is None
