"""Reads what an attempt writes to stdout and stderr, without ever letting a flood slow down anybody else."""

from __future__ import annotations

import asyncio
import os

from runner.engine.logbook import Logbook

_CHUNK_BYTES = 1 << 16
#: How long a stream whose output is dropped rests between two reads: a flood waits for itself, in its own full pipe.
_REST_S = 0.005


class OutputReader:
    """Moves one stream's bytes into a logbook; owns the descriptor."""

    def __init__(self, descriptor: int, stream: str, logbook: Logbook) -> None:
        self._descriptor: int | None = descriptor
        self._stream, self._logbook = stream, logbook
        self._loop = asyncio.get_running_loop()
        self._resting: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        """Take what is left in the pipe, and close it. The writers are dead by now, so this ends."""
        while self._descriptor is not None and self._read():
            pass
        self._end()

    def _listen(self) -> None:
        self._resting = None
        if self._descriptor is not None:
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
        if self._resting is not None:
            self._resting.cancel()
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
