"""Reads what a process writes to stdout and stderr, without ever letting a flood slow down anybody else.

Nothing is read that the sink has no room for: it stays in its pipe, and the process waits where it writes more. It is
read in small pieces, of which each is many lines at worst, and within the process's share of the event loop.
"""

from __future__ import annotations

import asyncio
import os
from typing import Protocol

from sandbox.host.confined import Confined
from sandbox.share import Share

#: What is read at once, and what of a stream whose output is dropped.
_CHUNK_BYTES, _DROPPED_BYTES = 2 << 10, 64 << 10
#: How long a stream whose output is dropped rests between two reads: a flood waits for itself, in its own full pipe.
_REST_S = 0.005


class Sink(Protocol):
    """Takes the output of one process."""

    @property
    def is_dropping(self) -> bool:
        """Whether it keeps no more of what comes."""

    @property
    def is_full(self) -> bool:
        """Whether no more should be read before there is `room`."""

    async def room(self) -> None:
        """Return when more may be written."""

    def write(self, stream: str, chunk: bytes, /) -> None:
        """Take what came from "stdout" or "stderr"."""


class OutputReader:
    """Moves both streams of a process into a sink; owns their descriptors.

    Args:
        confined: the process.
        sink: takes what it writes.
        idle_s: how long nobody listens at first. What is in a pipe when its process has ended is taken in any case, and
            to listen costs more than to read; what fills a pipe waits that long.
    """

    def __init__(self, confined: Confined, sink: Sink, *, idle_s: float = 0.0) -> None:
        self._streams = [
            _Stream(descriptor, name, sink, confined.share, idle_s)
            for descriptor, name in ((confined.stdout, "stdout"), (confined.stderr, "stderr"))
        ]

    async def finish(self) -> None:
        """Take what is left in the pipes, and close them. The writers are dead by now, so this ends."""
        try:
            for stream in self._streams:
                await stream.finish()
        finally:
            for stream in self._streams:
                stream.close()


class _Stream:
    def __init__(self, descriptor: int, name: str, sink: Sink, share: Share, idle_s: float) -> None:
        self._descriptor: int | None = descriptor
        self._name, self._sink, self._share = name, sink, share
        self._loop = asyncio.get_running_loop()
        #: What ends the time in which nobody listens; `None` while somebody does.
        self._resting: asyncio.TimerHandle | asyncio.Task[None] | None = None
        if idle_s:
            self._resting = self._loop.call_later(idle_s, self._listen)
        else:
            self._listen()

    async def finish(self) -> None:
        """Take what is left."""
        self._stop_listening()
        while self._read():
            await self._sink.room()
            await self._share.rest()

    def close(self) -> None:
        """Take nothing more. Closing twice does no harm."""
        self._stop_listening()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _listen(self) -> None:
        assert self._descriptor is not None
        self._resting = None
        self._loop.add_reader(self._descriptor, self._on_readable)

    def _stop_listening(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
        elif self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
        self._resting = None

    def _on_readable(self) -> None:
        if self._read() == b"":
            self.close()
        elif self._sink.is_dropping or self._sink.is_full or self._share.is_used_up:
            self._stop_listening()
            self._resting = self._loop.create_task(self._rest())

    async def _rest(self) -> None:
        if self._sink.is_dropping:
            await asyncio.sleep(_REST_S)
        await self._sink.room()
        await self._share.rest()
        self._listen()

    def _read(self) -> bytes | None:
        """What there is now; `None` for nothing yet, empty at the end."""
        if self._descriptor is None:
            return b""
        with self._share:
            try:
                chunk = os.read(self._descriptor, _DROPPED_BYTES if self._sink.is_dropping else _CHUNK_BYTES)
            except BlockingIOError:
                return None
            self._sink.write(self._name, chunk)
        return chunk
