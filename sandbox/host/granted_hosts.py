"""The hosts that one attempt was granted: its listeners go to the relay, and the relay's reports come back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from sandbox.errors import WireError

_LINE_BYTES = 16 << 10


class GrantedHosts:
    """The granted hosts of one attempt; none while `relay` is not set.

    Attributes:
        relay: takes listeners over, and returns a socket on which it reports; set by the `Sandbox`.
    """

    def __init__(self) -> None:
        self.relay: Callable[[list[int]], socket.socket] | None = None
        self._tells: socket.socket | None = None
        self._told: Callable[[str], None] | None = None

    def hand_over(self, listeners: list[int]) -> None:
        """Give the listeners to the relay. Raises `SetupError`, and `WireError` if no hosts were granted."""
        if self.relay is None or self._tells is not None:
            raise WireError("a report gives listeners that nobody asked for")
        self._tells = self.relay(listeners)
        self._listen()

    def watch(self, told: Callable[[str], None]) -> None:
        """Call `told` with each line that the relay reports."""
        self._told = told
        self._listen()

    def close(self) -> None:
        """Take in the last reports, and end all connections."""
        if self._tells is not None:
            self._hear()
            self._leave()

    def _listen(self) -> None:
        if self._told is not None and self._tells is not None:
            asyncio.get_running_loop().add_reader(self._tells.fileno(), self._hear)

    def _hear(self) -> None:
        while self._tells is not None:
            try:
                line = self._tells.recv(_LINE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                line = b""
            if self._told is not None:
                self._told(line.decode() or "network: the relay has died, and with it every connection")
            if not line:
                self._leave()

    def _leave(self) -> None:
        if self._tells is not None:
            asyncio.get_running_loop().remove_reader(self._tells.fileno())
            self._tells.close()
            self._tells = None
