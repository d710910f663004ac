"""The runner's link to its relay: starts the process when it is first needed, and hands it listeners."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Sequence

from sandbox.endpoint import Endpoint
from sandbox.errors import LauncherError, SetupError
from sandbox.host.links import helper_process


class RelayLink:
    """A relay, or none yet."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Start the process, unless it runs. Raises `LauncherError`."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._socket is not None:
            self._socket.close()
        self._socket, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        try:
            self._process = helper_process.start("sandbox.network.relay", far_end.fileno())
        except OSError as error:
            raise LauncherError(f"the relay of granted hosts cannot be started: {error}") from error
        finally:
            far_end.close()

    def take(self, endpoints: Sequence[Endpoint], listeners: list[int]) -> socket.socket:
        """Have the relay accept on each of these listeners and connect to its endpoint.

        Returns a socket on which the relay reports what went wrong; closing it ends all connections.
        Raises `SetupError`.
        """
        if len(listeners) != len(endpoints):
            raise SetupError("network", "too many open files in the runner")
        tells, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            assert self._socket is not None
            tells.setblocking(False)
            message = json.dumps([str(endpoint) for endpoint in endpoints]).encode()
            socket.send_fds(self._socket, [message], [far_end.fileno(), *listeners])
        except OSError as error:
            tells.close()
            raise SetupError("network", f"the relay does not answer: {error.strerror}", error.errno) from error
        finally:
            far_end.close()
        return tells

    async def close(self) -> None:
        """End the process, and reap it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        process, self._process = self._process, None
        if process is not None:
            await helper_process.until_ended(process)
