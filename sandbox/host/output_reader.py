"""Reads what an attempt writes to stdout and stderr, without ever letting a flood slow down anybody else.

Nothing is read that the log has no room for: it stays in its pipe, and the task waits where it writes more.

What an attempt has written is taken when it has ended, in any case. So it is listened to only after a moment, which
many attempts do not last: to listen costs more than to read.

It is read in small pieces, of which each is many lines at worst, and within the attempt's share of the event loop.
"""

from __future__ import annotations

import asyncio
import os

from runner.engine.attempts.logbook import Logbook
from sandbox import Share

#: What is read at once, and what of a stream whose output is dropped.
_CHUNK_BYTES, _DROPPED_BYTES = 2 << 10, 64 << 10
#: How long a stream whose output is dropped rests between two reads: a flood waits for itself, in its own full pipe.
_REST_S = 0.005
#: How long nobody listens at first: at most, what fills the pipe waits that long.
_MOMENT_S = 0.025


class OutputReader:
    """Moves one stream's bytes into a logbook; owns the descriptor."""

    def __init__(self, descriptor: int, stream: str, logbook: Logbook, share: Share) -> None:
        self._descriptor: int | None = descriptor
        self._stream, self._logbook, self._share = stream, logbook, share
        self._loop = asyncio.get_running_loop()
        #: What ends the time in which nobody listens; `None` while somebody does.
        self._resting: asyncio.TimerHandle | asyncio.Task[None] | None = self._loop.call_later(_MOMENT_S, self._listen)

    async def finish(self) -> None:
        """Take what is left in the pipe, and close it. The writers are dead by now, so this ends."""
        self._stop_listening()
        try:
            while self._read():
                await self._logbook.room()
                await self._share.rest()
        finally:
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
        assert self._descriptor is not None
        if not self._read():
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        elif self._logbook.is_dropping or self._logbook.is_full or self._share.is_used_up:
            self._loop.remove_reader(self._descriptor)
            self._resting = self._loop.create_task(self._rest())

    async def _rest(self) -> None:
        if self._logbook.is_dropping:
            await asyncio.sleep(_REST_S)
        await self._logbook.room()
        await self._share.rest()
        self._listen()

    def _read(self) -> bool:
        """Whether there may be more."""
        if self._descriptor is None:
            return False
        with self._share:
            try:
                chunk = os.read(self._descriptor, _DROPPED_BYTES if self._logbook.is_dropping else _CHUNK_BYTES)
            except OSError:  # nothing more to read now, or ever
                return False
            self._logbook.write(self._stream, chunk)
        return bool(chunk)
