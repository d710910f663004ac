"""What a confined process writes: kept up to a limit, thrown away beyond it, so that it is never kept waiting."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Generator
from dataclasses import dataclass

_STEP_BYTES = 8 << 10


@dataclass(frozen=True, slots=True)
class Texts:
    """The output that was kept, as text: both streams in the order in which they arrived, and each by itself."""

    both: str
    stdout: str
    stderr: str
    is_cut: bool


class Output:
    """The output of one process, of both its streams together.

    Attributes:
        dropped_bytes: how much came beyond the limit.
    """

    is_full = False

    def __init__(self, limit_bytes: int) -> None:
        self.dropped_bytes = 0
        self._left = limit_bytes
        self._both = bytearray()
        self._kept = {"stdout": bytearray(), "stderr": bytearray()}

    @property
    def is_dropping(self) -> bool:
        """Whether the limit was reached."""
        return self.dropped_bytes > 0

    async def room(self) -> None:
        """There always is."""

    def write(self, stream: str, chunk: bytes) -> None:
        """Take what came."""
        kept = chunk[: self._left]
        self._left -= len(kept)
        self.dropped_bytes += len(chunk) - len(kept)
        self._kept[stream] += kept
        self._both += kept

    def note(self, line: str) -> None:
        """Add a line about the process to what it wrote to stderr."""
        self.write("stderr", f"{line}\n".encode())

    def texts(self) -> Generator[None, None, Texts]:
        """The output that was kept. In steps: to decode what is not UTF-8 takes long."""
        both = yield from self._text(self._both)
        stdout = yield from self._text(self._kept["stdout"])
        stderr = yield from self._text(self._kept["stderr"])
        return Texts(both, stdout, stderr, is_cut=self.is_dropping)

    def _text(self, kept: bytearray) -> Generator[None, None, str]:
        """As text, with a note at the end if output is missing."""
        decoder, parts = getincrementaldecoder("utf-8")(errors="backslashreplace"), list[str]()
        for start in range(0, len(kept), _STEP_BYTES):
            parts.append(decoder.decode(kept[start : start + _STEP_BYTES]))
            yield
        parts.append(decoder.decode(b"", final=True))
        if self.dropped_bytes:
            parts.append(f"\n[cut here: {self.dropped_bytes} bytes more]\n")
        return "".join(parts)
