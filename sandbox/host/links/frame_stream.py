"""The runner's end of a channel: frames over a socket, asynchronously, with nothing read ahead.

Bytes are read only while someone waits in `receive`, so a flood from inside fills a socket buffer, not the runner's
memory; and only as much as the other side's share of the event loop allows (`sandbox.share`), so it does not fill the
loop either. A long frame is read piece by piece. Cancelling `receive` loses nothing, and a `send` that was cancelled
halfway is completed by the next one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.protocol.wire import FRAME_LIMIT, PIECE_BYTES, Decoder, encode, parse, parse_slowly
from sandbox.share import Share

#: How many values a frame may hold that is read piece by piece, unless the receiver sets another number, and how many
#: arrays and objects, at most half of them: the garbage collector looks at all of these in one pause.
MOST_VALUES, MOST_CONTAINERS = 2_000_000, 250_000
_CHUNK_BYTES = 64 << 10
#: How much is kept of what a dead process sent, beside the frame that had begun. A socket's buffer holds no more.
_LAST_BYTES = 512 << 10


class FrameStream:
    """Frames over a non-blocking socket. One reader at a time; senders may be many.

    Attributes:
        share: of the event loop, for whatever is done for the other side.
        longest: gives the limit on a frame's length by its first bytes; may be set at any time.
        most_values: how many values a long frame may hold.
        longest_text: how many characters one text of a long frame may have.
    """

    def __init__(self, stream: socket.socket) -> None:
        self.share = Share()
        self.longest: Callable[[bytes], int] | None = None
        self.most_values, self.longest_text = MOST_VALUES, FRAME_LIMIT
        self._stream = stream
        self._decoder = Decoder(lambda beginning: FRAME_LIMIT if self.longest is None else self.longest(beginning))
        self._body: bytes | None = None  # of the frame that is being read
        self._ended = False  # nothing more comes in
        self._unsent = memoryview(b"")
        self._sending = asyncio.Lock()
        self._reading: asyncio.Future[None] | None = None  # who waits for something to come
        self._is_watched = False  # whether the event loop says so
        self._writing: asyncio.Future[None] | None = None

    @property
    def frame_bytes(self) -> int:
        """The size of the frame that was received last."""
        return self._decoder.frame_bytes

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Send one frame; waits while the other side does not read.

        Raises:
            WireError: `frame` is not strict JSON or too large; nothing was sent.
            ConnectionError: the other side is gone.
        """
        data = encode(frame)
        async with self._sending:
            await self._flush()
            self._unsent = memoryview(data)
            await self._flush()

    async def _flush(self) -> None:
        while self._unsent:
            if self._stream.fileno() < 0:
                raise BrokenPipeError("the confined process is dead")
            try:
                sent = self._stream.send(self._unsent)
            except BlockingIOError:
                await self._until_writable()
            else:
                self._unsent = self._unsent[sent:]

    async def receive(self) -> dict[str, Any] | None:
        """Wait for one frame; `None` when no more can come. Raises `WireError`."""
        body = await self.receive_body()
        return None if body is None else await self.read(body)

    async def receive_body(self) -> bytes | None:
        """Wait for one frame, and return its bytes; `None` when no more can come. Raises `WireError`."""
        while self._body is None:
            await self.share.rest()
            with self.share:
                self._body = self._decoder.next_body()
                is_more = self._body is not None or (not self._ended and self._take_in())
            if not is_more:
                if self._ended:
                    self._decoder.finish()
                    return None
                await self._until_readable()
        return self._body

    async def read(self, body: bytes) -> dict[str, Any]:
        """Read the frame that was received last, which has this body. Raises `WireError`."""
        if len(body) <= PIECE_BYTES:
            with self.share:
                frame = parse(body)
        else:
            most_containers = min(self.most_values // 2, MOST_CONTAINERS)
            frame = await self.share.go_through(
                parse_slowly(body, self.most_values, most_containers, self.longest_text)
            )
        self._body = None
        return frame

    def leave(self) -> None:
        """The frame that was received last needs no reading."""
        self._body = None

    def _take_in(self) -> bool:
        """Feed the decoder what has arrived; `False` if nothing has."""
        try:
            data = self._stream.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return False
        except ConnectionError:
            data = b""  # it died before it had read all frames that were sent to it
        if data:
            self._decoder.feed(data)
        else:
            self._ended = True
        return True

    async def _until_readable(self) -> None:
        loop = asyncio.get_running_loop()
        self._reading = loop.create_future()
        if not self._is_watched:
            loop.add_reader(self._stream.fileno(), self._readable)
            self._is_watched = True
        await self._reading

    def _readable(self) -> None:
        """Stop watching only when nobody waits any more: to start and stop takes longer than to read."""
        if self._reading is None or self._reading.done():
            self._watch_no_more()
        else:
            self._reading.set_result(None)

    def _watch_no_more(self) -> None:
        if self._is_watched:
            asyncio.get_running_loop().remove_reader(self._stream.fileno())
            self._is_watched = False

    async def _until_writable(self) -> None:
        loop = asyncio.get_running_loop()
        descriptor = self._stream.fileno()
        self._writing = loop.create_future()
        loop.add_writer(descriptor, _settle, self._writing)
        try:
            await self._writing
        finally:
            self._writing = None
            if self._stream.fileno() >= 0:
                loop.remove_writer(descriptor)

    def finish(self) -> None:
        """The process is dead: keep the last that it sent for `receive`, and close the socket."""
        if self._stream.fileno() < 0:
            return
        left = self._decoder.missing_bytes() + _LAST_BYTES
        while not self._ended and left > 0 and self._take_in():
            left -= _CHUNK_BYTES
        self._ended = True
        self._watch_no_more()
        if self._writing is not None:
            asyncio.get_running_loop().remove_writer(self._stream.fileno())
        self._stream.close()
        for ready in (self._reading, self._writing):
            _settle(ready)


def _settle(ready: asyncio.Future[None] | None) -> None:
    if ready is not None and not ready.done():
        ready.set_result(None)
