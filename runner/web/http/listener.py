"""Takes connections in, as many as there is room for, and keeps those out of the way that do nothing.

asyncio takes in every client until there are no descriptors left, for the store and for attempts neither, and then logs
each try. Here the number is bounded, and full means that the oldest goes: a client that says within moments what it
wants is answered, however many others hold a connection and say nothing. Clients that have shown a token that counts
are apart: strangers never take their places, and they leave some for strangers, who may become known.

    accepted ──► stranger ──token──► known ──► closed when it is idle for long, or longest of all when there is no room
                    └──► closed when its head is late, or oldest of all when there is no room
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

from runner.web.http.connection import Connection

#: How many are accepted before something else gets its turn.
_AT_ONCE = 16
_BACKLOG = 1024
_LOOK_S = 1.0
#: How long nobody is accepted after the kernel refused: it has no descriptor or no memory left.
_PAUSE_S = 0.5
_SAY_EVERY_S = 60.0

log = logging.getLogger(__name__)


class Listener:
    """The connections of one server.

    Attributes:
        make_protocol: aiohttp's protocol for one more connection.
        most: how many there may be at once, 8 at least.
    """

    def __init__(self, make_protocol: Callable[[], asyncio.Protocol], most: int) -> None:
        self._make_protocol = make_protocol
        self._most = most
        # In the order of their last use, oldest first.
        self._strangers: dict[Connection, None] = {}
        self._known: dict[Connection, None] = {}
        self._by_transport: dict[asyncio.BaseTransport, Connection] = {}
        self._listening: Sequence[socket.socket] = ()
        self._opening: set[asyncio.Task[None]] = set()
        self._look: asyncio.TimerHandle | None = None
        self._paused: asyncio.TimerHandle | None = None
        self._crowding = _Complaint("no room for more than %d connections (connections in [server]): closed %d others")
        self._refusal = _Complaint("the system allows no more connections than the %d there are: it refused %d times")

    def start(self, sockets: Sequence[socket.socket]) -> None:
        """Accept clients on bound sockets, which are the listener's from now on."""
        self._listening = sockets
        for listening in sockets:
            listening.listen(_BACKLOG)
        self._resume()

    def stop(self) -> None:
        """Accept nobody more. Those that are there stay."""
        loop = asyncio.get_running_loop()
        for timer in (self._look, self._paused):
            if timer is not None:
                timer.cancel()
        for listening in self._listening:
            loop.remove_reader(listening)
            listening.close()
        self._listening = ()
        for opening in self._opening:
            opening.cancel()

    def find(self, transport: asyncio.BaseTransport | None) -> Connection | None:
        """The connection of a request, `None` if it is gone."""
        return None if transport is None else self._by_transport.get(transport)

    def know(self, connection: Connection) -> bool:
        """Count a connection among those that showed a token that counts; `False` where there is no room for it."""
        if connection.is_known:
            self._known[connection] = self._known.pop(connection, None)  # the last one used
            return True
        if len(self._known) >= self._most - self._most // 8:
            idle = next((known for known in self._known if not known.is_busy), None)
            if idle is None:
                return False
            self._evict(idle)
            self._crowding.say(self._most)
        self._strangers.pop(connection, None)
        connection.know()
        self._known[connection] = None
        return True

    def _resume(self) -> None:
        self._paused = None
        for listening in self._listening:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        for listening in self._listening:
            loop.remove_reader(listening)
        self._paused = loop.call_later(_PAUSE_S, self._resume)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # No descriptor or no memory: accepting would fail again at once, for as long as it is so.
                self._refusal.say(len(self._strangers) + len(self._known))
                self._shrink()
                self._pause()
                return
            client.setblocking(False)
            self._take_in(client)

    def _take_in(self, client: socket.socket) -> None:
        connection = Connection(self._make_protocol(), on_made=self._remember, on_lost=self._forget)
        self._strangers[connection] = None
        while len(self._strangers) > min(self._most // 2, self._most - len(self._known)):
            self._evict(next(iter(self._strangers)))
            self._crowding.say(self._most)
        opening = asyncio.create_task(self._open(client, connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(_LOOK_S, self._close_overdue)

    async def _open(self, client: socket.socket, connection: Connection) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, client)
        except OSError:  # the client is gone
            client.close()
            self._forget(connection)
        except asyncio.CancelledError:
            client.close()
            raise

    def _remember(self, connection: Connection, transport: asyncio.BaseTransport) -> None:
        self._by_transport[transport] = connection

    def _forget(self, connection: Connection) -> None:
        self._strangers.pop(connection, None)
        self._known.pop(connection, None)
        if connection.transport is not None:
            self._by_transport.pop(connection.transport, None)

    def _evict(self, connection: Connection) -> None:
        self._strangers.pop(connection, None)
        self._known.pop(connection, None)
        connection.close()

    def _shrink(self) -> None:
        """Close half of the strangers, or of the idle clients where there are none: others need descriptors as well."""
        closable = [*self._strangers] or [known for known in self._known if not known.is_busy]
        for connection in closable[: (len(closable) + 1) // 2]:
            self._evict(connection)

    def _close_overdue(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in [*self._strangers, *self._known]:
            if connection.is_overdue(now):
                connection.close()
        any_left = bool(self._strangers or self._known)
        self._look = loop.call_later(_LOOK_S, self._close_overdue) if any_left else None


class _Complaint:
    """Says what went wrong at most once a minute, with how often."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._count = 0
        self._silent_until = 0.0

    def say(self, bound: int) -> None:
        self._count += 1
        now = asyncio.get_running_loop().time()
        if now >= self._silent_until:
            log.warning(self._text, bound, self._count)
            self._silent_until, self._count = now + _SAY_EVERY_S, 0
