"""The runner's end of a channel: frames over a socket, asynchronously, with nothing read ahead.

Bytes are read only while someone waits in `receive`, so a flood from inside fills a socket buffer, not the runner's
memory. Cancelling `receive` loses nothing, and a `send` that was cancelled halfway is completed by the next one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

from sandbox.wire import Decoder, encode

_CHUNK_BYTES = 64 << 10


class FrameStream:
    """Frames over a non-blocking socket. One reader at a time; senders may be many."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._decoder = Decoder()
        self._ended = False  # nothing more comes in
        self._unsent = memoryview(b"")
        self._sending = asyncio.Lock()
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def frame_bytes(self) -> int:
        """What the frame that was received last took."""
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
                await self._until_ready(asyncio.get_running_loop().add_writer, asyncio.get_running_loop().remove_writer)
            else:
                self._unsent = self._unsent[sent:]

    async def receive(self) -> dict[str, Any] | None:
        """Wait for one frame; `None` when no more can come. Raises `WireError`."""
        loop = asyncio.get_running_loop()
        while (frame := self._decoder.next_frame()) is None:
            if self._ended:
                self._decoder.finish()
                return None
            if not self._take_in():
                await self._until_ready(loop.add_reader, loop.remove_reader)
        return frame

    def _take_in(self) -> bool:
        """Feed the decoder what is there; `False` if nothing is there now."""
        try:
            data = self._stream.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return False
        except ConnectionError:
            data = b""  # it died with frames unread that we had sent
        if data:
            self._decoder.feed(data)
        else:
            self._ended = True
        return True

    async def _until_ready(self, watch: Any, forget: Any) -> None:
        ready = asyncio.get_running_loop().create_future()
        descriptor = self._stream.fileno()
        watch(descriptor, _settle, ready)
        self._waiting.add(ready)
        try:
            await ready
        finally:
            self._waiting.discard(ready)
            if self._stream.fileno() >= 0:
                forget(descriptor)

    def finish(self) -> None:
        """The process is dead: keep what it sent (bounded by the socket's buffer) for `receive`, close the socket."""
        if self._stream.fileno() < 0:
            return
        while not self._ended and self._take_in():
            pass
        self._ended = True
        loop = asyncio.get_running_loop()
        descriptor = self._stream.fileno()  # a socket would be described, at length, where it is not registered
        loop.remove_reader(descriptor)
        loop.remove_writer(descriptor)
        self._stream.close()
        for ready in self._waiting:
            _settle(ready)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
