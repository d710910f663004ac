"""What a confined process writes: read as it comes, kept up to a limit, thrown away beyond it.

It is never kept waiting for long: past the limit its pipes are still read, with a rest between two reads, so that
a flood waits for itself and not for anybody else.
"""

from __future__ import annotations

import asyncio
import os
from codecs import getincrementaldecoder
from collections.abc import Generator
from dataclasses import dataclass

_CHUNK_BYTES = 1 << 16
_STEP_BYTES = 8 << 10
_REST_S = 0.005


@dataclass(frozen=True, slots=True)
class Texts:
    """What was kept of the output, as text: of both streams as they came in, and of each."""

    both: str
    stdout: str
    stderr: str
    is_cut: bool


class Output:
    """The output of one process, of both its streams together.

    Attributes:
        dropped_bytes: how much came beyond the limit.
    """

    def __init__(self, stdout: int, stderr: int, limit_bytes: int) -> None:
        self.dropped_bytes = 0
        self._left = limit_bytes
        self._both = bytearray()
        self._kept = {stdout: bytearray(), stderr: bytearray()}
        self._stdout, self._stderr = stdout, stderr
        self._open = {stdout, stderr}
        self._resting: dict[int, asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()
        for descriptor in (stdout, stderr):
            self._loop.add_reader(descriptor, self._on_readable, descriptor)

    def texts(self) -> Generator[None, None, Texts]:
        """What was kept, in steps: what is no UTF-8 takes long to be written as text."""
        both = yield from self._text(self._both)
        stdout = yield from self._text(self._kept[self._stdout])
        stderr = yield from self._text(self._kept[self._stderr])
        return Texts(both, stdout, stderr, is_cut=self.dropped_bytes > 0)

    def note(self, line: str) -> None:
        """Add a line about the process to what it wrote to stderr."""
        self._keep(self._stderr, f"{line}\n".encode())

    def close(self) -> None:
        """Take what is left in the pipes, whose writers are dead, and close them."""
        for descriptor in list(self._open):
            while self._read(descriptor):
                pass
            self._end(descriptor)

    def _on_readable(self, descriptor: int) -> None:
        if not self._read(descriptor):
            self._end(descriptor)
        elif self.dropped_bytes:
            self._loop.remove_reader(descriptor)
            self._resting[descriptor] = self._loop.call_later(_REST_S, self._listen_again, descriptor)

    def _listen_again(self, descriptor: int) -> None:
        self._loop.add_reader(descriptor, self._on_readable, descriptor)

    def _read(self, descriptor: int) -> bool:
        """Whether there may be more."""
        try:
            chunk = os.read(descriptor, _CHUNK_BYTES)
        except OSError:  # nothing more to read now, or ever
            return False
        self._keep(descriptor, chunk)
        return bool(chunk)

    def _keep(self, descriptor: int, chunk: bytes) -> None:
        kept = chunk[: self._left]
        self._left -= len(kept)
        self.dropped_bytes += len(chunk) - len(kept)
        self._kept[descriptor] += kept
        self._both += kept

    def _end(self, descriptor: int) -> None:
        if descriptor in self._resting:
            self._resting.pop(descriptor).cancel()
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        self._open.discard(descriptor)

    def _text(self, kept: bytearray) -> Generator[None, None, str]:
        """Marks at its end that something is missing."""
        decoder, parts = getincrementaldecoder("utf-8")(errors="backslashreplace"), list[str]()
        for start in range(0, len(kept), _STEP_BYTES):
            parts.append(decoder.decode(kept[start : start + _STEP_BYTES]))
            yield
        parts.append(decoder.decode(b"", final=True))
        if self.dropped_bytes:
            parts.append(f"\n[cut here: {self.dropped_bytes} bytes more]\n")
        return "".join(parts)
