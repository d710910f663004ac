"""One client's connection: hands everything on to aiohttp's protocol and watches that the client keeps going.

aiohttp waits as long as it takes for a request to come and for an answer to be read. Here a head has a time and a size,
a connection that asks nothing has a time, and so has one whose client does not read what it asked for. While a request
is answered there is no time: a client may wait for a run, and handlers that read a body have times of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from runner.web.http import problems

#: How long a request's head may take from its first byte, and how much it may take in bytes.
HEAD_S: Final = 10.0
HEAD_BYTES: Final = 64 << 10
#: How long a connection is kept that asks nothing, after an answer.
IDLE_S: Final = 75.0
#: How long a client that goes on sending what is not read may be silent; an answer gets lost if it is cut off at once.
LINGER_S: Final = 1.0
#: How much is read at once of a client that has shown no token, and of one that has. aiohttp parses all of it in one
#: go, and what is cut finely (chunks of a byte, short headers, short requests) takes up to a microsecond for each byte.
STRANGER_READ_BYTES: Final = 4 << 10
KNOWN_READ_BYTES: Final = 16 << 10
#: A client that takes nothing of its answer for so long is cut off.
STALLED_S: Final = 30.0
#: Less than this within that time counts as nothing.
_LEAST_TAKEN_BYTES = 16 << 10
_NEVER = float("inf")
_TOO_LARGE = problems.document(
    "head-too-large", 431, "a request's head may have 64 KB in all: send fewer or shorter headers", "/"
)
_HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: %b\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (problems.PROBLEM_TYPE.encode(), len(_TOO_LARGE), _TOO_LARGE)
)


class Connection(asyncio.Protocol):
    """One client.

    Attributes:
        is_known: whether it has carried a token that counts.
        is_busy: whether a request of its is being answered.
    """

    def __init__(
        self,
        http: asyncio.Protocol,
        *,
        on_made: Callable[[Connection, asyncio.BaseTransport], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        """`http` is aiohttp's protocol; `on_made` is called once it is open, and `on_lost` once it is gone."""
        self.is_known = False
        self.is_busy = False
        self.transport: asyncio.Transport | None = None
        self._http, self._on_made, self._on_lost = http, on_made, on_lost
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + HEAD_S  # when it is closed, unless a request began before
        self._head_bytes = 0
        self._head_end = b""  # the last bytes of a head that is not whole
        self._head_is_whole = False
        self._unsent, self._unsent_at = 0, 0.0  # how much of the answer was not taken, and since when it is so much
        self._lingers = False  # what comes is thrown away
        self._is_refused = False  # its head was too large: nothing more of it is looked at
        self._is_over = False

    def know(self) -> None:
        """It has carried a token that counts."""
        self.is_known = True
        self._read_at_once(KNOWN_READ_BYTES)

    def began(self) -> None:
        """A request has come whole, and is being answered."""
        self.is_busy = True
        self._until = _NEVER

    def ended(self, *, is_read: bool) -> None:
        """It is answered, as far as the server is concerned; `is_read` says whether all of its body was taken."""
        self.is_busy = False
        self._lingers = not is_read
        self._head_bytes, self._head_end, self._head_is_whole = 0, b"", False
        self._until = self._loop.time() + (IDLE_S if is_read else LINGER_S)

    def is_overdue(self, now: float) -> bool:
        """Whether the client has let its time pass; asked about once a second."""
        unsent = 0 if self.transport is None else self.transport.get_write_buffer_size()
        if not unsent:
            self._unsent = 0
            return now >= self._until
        if not self._unsent or unsent <= self._unsent - _LEAST_TAKEN_BYTES:
            self._unsent, self._unsent_at = unsent, now
        return now >= self._unsent_at + STALLED_S

    def close(self) -> None:
        """Close it now; what the client has not taken by now it does not get."""
        self._is_over = True
        if self.transport is None:  # it is being opened
            return
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    # --- what asyncio calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless it was closed while it was being opened."""
        self.transport = cast("asyncio.Transport", transport)
        self._read_at_once(STRANGER_READ_BYTES)
        self._on_made(self, transport)
        self._http.connection_made(transport)
        if self._is_over:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand on what came, as long as a head does not grow without end."""
        if self._is_refused:
            return
        if self._lingers:
            self._until = self._loop.time() + LINGER_S
            return
        if not self.is_busy and self._is_head_too_large(data):
            self._is_refused = True
            self._until = self._loop.time() + LINGER_S
            cast("asyncio.Transport", self.transport).write(_HEAD_TOO_LARGE)
            return
        self._http.data_received(data)

    def eof_received(self) -> bool | None:
        """The client sends nothing more."""
        return self._http.eof_received()

    def pause_writing(self) -> None:
        """The client takes less than it is given."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """The client took most of what it was given."""
        self._unsent = 0
        self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._http.connection_lost(exc)
        self._on_lost(self)

    def _read_at_once(self, size_bytes: int) -> None:
        if self.transport is not None:
            self.transport.max_size = size_bytes  # type: ignore[attr-defined]  # asyncio's transports of sockets have it

    def _is_head_too_large(self, data: bytes) -> bool:
        if self._head_is_whole:  # what comes is a body; should aiohttp see that otherwise, the head's time runs on
            return False
        if not self._head_bytes:
            data = data.lstrip(b"\r\n")  # empty lines before a request count for nothing
            if not data:
                return False
            self._until = min(self._until, self._loop.time() + HEAD_S)
        joined = self._head_end + data
        self._head_is_whole = b"\r\n\r\n" in joined
        self._head_end = joined[-3:]
        self._head_bytes += len(data)
        return not self._head_is_whole and self._head_bytes > HEAD_BYTES
