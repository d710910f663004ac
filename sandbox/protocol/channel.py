"""The end of a channel that a confined process holds: blocking, one frame at a time."""

from __future__ import annotations

import socket
from _thread import allocate_lock  # importing `threading` makes every later fork more expensive
from collections.abc import Mapping
from typing import Any

from sandbox.protocol.wire import Decoder, encode

_CHUNK_BYTES = 64 << 10


class Channel:
    """Frames to and from whoever launched this process. Threads may share it; frames are sent whole."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._decoder = Decoder()
        self._sending = allocate_lock()
        self._receiving = allocate_lock()

    def send(self, frame: Mapping[str, Any], most_values: int | None = None) -> None:
        """Send one frame; blocks while the other side does not read.

        Raises:
            WireError: `frame` is not strict JSON, too large, or long with more values than `most_values`; nothing was
                sent.
            ConnectionError: the other side is gone.
        """
        data = encode(frame, most_values)
        with self._sending:
            self._stream.sendall(data)

    def receive(self) -> dict[str, Any] | None:
        """Wait for one frame; `None` once the other side has closed the channel. Raises `WireError`."""
        with self._receiving:
            while (frame := self._decoder.next_frame()) is None:
                data = self._stream.recv(_CHUNK_BYTES)
                if not data:
                    self._decoder.finish()
                    return None
                self._decoder.feed(data)
            return frame

    def close(self) -> None:
        """Close the channel; the other side reads what was sent, then the end."""
        self._stream.close()
