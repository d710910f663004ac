"""A TCP relay between a node and its database that can be cut and healed, as a network that fails."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit, urlunsplit


class Relay:
    """Passes what it is given to where `connect` leads. While it is cut, nothing passes and nothing is told."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wake, self._woken = socket.socketpair()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._is_cut = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens on this machine."""
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """Pass nothing on, and let nobody know: packets are lost."""
        self._is_cut = True
        self._wake.send(b"x")

    def heal(self) -> None:
        """Pass on again. What was open when it was cut is reset, as by a firewall that has forgotten it."""
        self._is_cut = False
        self._wake.send(b"heal")

    def lead_to(self, database: str) -> None:
        """Pass on to the server of this URL instead, as after a failover; what was open is reset."""
        self._connect = _dialling(database)
        self.heal()

    def close(self) -> None:
        """End it and everything that goes through it."""
        self._closed = True
        self._wake.send(b"x")
        self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            watched = [self._woken] if self._is_cut else [self._woken, self._listener, *self._pairs]
            for ready in select.select(watched, [], [])[0]:
                if ready is self._woken:
                    if b"heal" in self._woken.recv(64):
                        self._drop_all()
                elif ready is self._listener:
                    self._accept()
                elif ready in self._pairs and not self._is_cut:
                    self._pass_on(ready)
        self._drop_all()
        for each in (self._listener, self._wake, self._woken):
            each.close()

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        try:
            far = self._connect()
        except OSError:
            near.close()
            return
        self._pairs[near], self._pairs[far] = far, near

    def _pass_on(self, ready: socket.socket) -> None:
        try:
            data = ready.recv(1 << 16)
            if data:
                self._pairs[ready].sendall(data)
                return
        except OSError:
            pass
        self._drop(ready)

    def _drop(self, one: socket.socket) -> None:
        other = self._pairs.pop(one)
        self._pairs.pop(other, None)
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.close()

    def _drop_all(self) -> None:
        for each in list(self._pairs):
            if each in self._pairs:
                self._drop(each)


def relay_to(database: str) -> tuple[Relay, str]:
    """A relay to the PostgreSQL server of this URL, and the URL of the same database through it."""
    relay = Relay(_dialling(database))
    parts = urlsplit(database)
    user, at, _ = parts.netloc.rpartition("@")
    return relay, urlunsplit(("postgresql", f"{user}{at}127.0.0.1:{relay.port}", parts.path, "", ""))


def _dialling(database: str) -> Callable[[], socket.socket]:
    parts = urlsplit(database)
    folder = parse_qs(parts.query).get("host", [""])[0]

    def dial() -> socket.socket:
        if not folder:
            return socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 5432))
        dialled = socket.socket(socket.AF_UNIX)
        try:
            dialled.connect(f"{folder}/.s.PGSQL.{parts.port or 5432}")
        except OSError:
            dialled.close()
            raise
        return dialled

    return dial
