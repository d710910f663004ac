"""Reads what an attempt writes to stdout and stderr, without ever letting a flood slow down anybody else.

What an attempt has written is taken when it has ended, in any case. So it is listened to only after a moment, which
many attempts do not last: to listen costs more than to read.
"""

from __future__ import annotations

import asyncio
import os

from runner.engine.logbook import Logbook

_CHUNK_BYTES = 1 << 16
#: How long a stream whose output is dropped rests between two reads: a flood waits for itself, in its own full pipe.
_REST_S = 0.005
#: How long nobody listens at first: at most, what fills the pipe waits that long.
_MOMENT_S = 0.025


class OutputReader:
    """Moves one stream's bytes into a logbook; owns the descriptor."""

    def __init__(self, descriptor: int, stream: str, logbook: Logbook) -> None:
        self._descriptor: int | None = descriptor
        self._stream, self._logbook = stream, logbook
        self._loop = asyncio.get_running_loop()
        #: What ends the time in which nobody listens; `None` while somebody does.
        self._resting: asyncio.TimerHandle | None = self._loop.call_later(_MOMENT_S, self._listen)

    def close(self) -> None:
        """Take what is left in the pipe, and close it. The writers are dead by now, so this ends."""
        while self._descriptor is not None and self._read():
            pass
        self._end()

    def _listen(self) -> None:
        assert self._descriptor is not None
        self._resting = None
        self._loop.add_reader(self._descriptor, self._on_readable)

    def _on_readable(self) -> None:
        if not self._read():
            self._end()
        elif self._logbook.is_dropping and self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            self._resting = self._loop.call_later(_REST_S, self._listen)

    def _read(self) -> bool:
        """Whether there may be more."""
        assert self._descriptor is not None
        try:
            chunk = os.read(self._descriptor, _CHUNK_BYTES)
        except OSError:  # nothing more to read now, or ever
            return False
        self._logbook.write(self._stream, chunk)
        return bool(chunk)

    def _end(self) -> None:
        if self._descriptor is None:
            return
        if self._resting is None:
            self._loop.remove_reader(self._descriptor)
        else:
            self._resting.cancel()
        os.close(self._descriptor)
        self._descriptor = None
