"""The last lines of a log that is longer than it may be: what was said at the end is what one looks for first."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runner.domain.masking import Mask

_ENDS = re.compile(rb"[\r\n]+")


class Tail:
    """Keeps the last `size_bytes` that each stream brings, and forgets what came before."""

    def __init__(self, mask: Mask, size_bytes: int) -> None:
        self._mask, self._size_bytes = mask, size_bytes
        self._kept: dict[str, bytes] = {}

    def add(self, stream: str, chunk: bytes) -> None:
        """Take what comes."""
        # So much more that a secret of which the beginning is gone lies before the size.
        most = self._size_bytes + self._mask.longest
        self._kept[stream] = (self._kept.get(stream, b"") + chunk[-most:])[-most:]

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """Each stream with its last lines, without the one whose beginning may be gone."""
        for stream, kept in self._kept.items():
            # Records come whole and masked. Output may begin within a secret, also where nothing before it is gone.
            unsafe = 0 if stream == "logging" else self._mask.longest
            _, *lines = _ENDS.split(self._mask.output(kept)[unsafe:])
            for line in lines:
                if line:
                    yield stream, line
