"""The log of one attempt: whole lines with their times, cleaned and bounded, written to the store in batches.

What a task writes is hostile: a line is a record of its own in the store, so nothing printed can pass for another line,
another stream or isolane itself, and control characters are escaped so that they cannot move a terminal's cursor.
Secrets are masked first, before a line is cut or escaped.
Past the bound lines are dropped but for the last few: marked where the log was cut, and before the last with how much
was lost.
A line that does not end is shown after a second; what comes of it later is kept as its continuation.

Below the bound nothing is dropped. Lines are held until the store has taken them; where they take too much memory,
`room` waits, and with it the task in its own full pipe, also while the store cannot be reached. The log is complete
before the run's end is recorded. Only where the store answers and takes everything but the log are lines lost, since a
log keeps no run waiting for ever; a mark says so at its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Generator, Sequence
from typing import TypeAlias

from runner.backoff import pauses
from runner.domain.masking import Mask
from runner.domain.run import LogLine
from runner.engine.attempts.lines import LINE_BYTES, Lines, Piece
from runner.engine.attempts.tail import Tail
from runner.errors import RunnerError, StoreError, StoreUnavailableError
from runner.store.contract import Store

_HELD_BYTES = 16 << 20  # what lines that wait for the store may take in memory, for one attempt
_LINE_OVERHEAD = 200  # what a line takes in memory beside its text
_LEAST_BYTES = 64  # what a line counts at least: a million empty ones are no small log
_STEP_LINES = 200  # how many are taken before others may have the event loop
_TAIL_BYTES = 8 << 10  # what is kept of the end of each stream, where the log was cut
_BATCH_LINES = 1000  # how many are written at once
_BATCH_S = 0.05  # how long lines are gathered before they are written
_SHOWN_S = 1.0  # how long a line that does not end is waited for
_DELAY_S = (0.05, 2.0)  # first and longest pause after the store failed
#: Everything that a terminal or a log viewer could take for a control: C0 and C1, DEL, line and paragraph separators.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

#: When, stream, text, level, whether it is a continuation. Tuples of these are nothing that the garbage collector
#: has to look at, however many wait.
_Line: TypeAlias = tuple[int, str, str, str | None, bool]

_logger = logging.getLogger(__name__)


class Logbook:
    """Takes what one attempt writes; `flush` when it is over."""

    def __init__(
        self, store: Store, app: str, run: str, attempt: int, *, limit_bytes: int, now: Callable[[], int], mask: Mask
    ) -> None:
        self._store, self._app, self._run, self._attempt = store, app, run, attempt
        self._limit_bytes, self._now, self._mask = limit_bytes, now, mask
        self._kept_bytes = 0
        self._dropped_bytes = 0  # past the limit
        self._held_bytes = 0  # what lines that are not written yet take in memory
        self._missed_bytes = 0  # refused by a store that takes everything else
        self._tail = Tail(mask, min(limit_bytes, _TAIL_BYTES))
        self._streams = {"stdout": Lines(mask), "stderr": Lines(mask)}
        self._showing: asyncio.TimerHandle | None = None
        self._lines: list[_Line] = []
        self._writing: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    @property
    def is_dropping(self) -> bool:
        """Whether what comes now is dropped: the log is as long as it may be."""
        return self._dropped_bytes > 0

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the store that no more should be read before there is `room`."""
        return not self._has_room.is_set()

    async def room(self) -> None:
        """Return when more may be written."""
        await self._has_room.wait()

    def write(self, stream: str, chunk: bytes) -> None:
        """Take raw output of "stdout" or "stderr"."""
        if self.is_dropping:
            self._drop(stream, self._streams[stream].leave() + chunk)
            return
        lines = self._streams[stream]
        self._keep_pieces(stream, lines.take(chunk))
        if self._showing is None and lines.is_unfinished:
            self._show_later()

    def record(self, level: str, message: str, at: int) -> Generator[None, None, None]:
        """Take a record of `logging`, in steps; each line of its message becomes a line of the log."""
        message = self._mask.text(message)
        left = len(message) + 1
        for number, line in enumerate(message.split("\n")):
            if self.is_dropping:  # of thousands of lines not each has to be looked at
                end = "\n" + message[-left:][-_TAIL_BYTES:]
                self._drop("logging", end.encode(errors="backslashreplace"), left)
                return
            left -= len(line) + 1
            for start in range(0, max(len(line), 1), LINE_BYTES):
                self._keep((at, "logging", line[start : start + LINE_BYTES], level, start > 0))
                if len(line) > LINE_BYTES:
                    yield
            if number % _STEP_LINES == _STEP_LINES - 1:
                yield

    def mark(self, text: str) -> None:
        """Add a line of isolane's own, whatever the bound."""
        self._append(self._mark(text))

    async def flush(self) -> None:
        """Write out everything, unfinished lines too, however long the store is away."""
        if self._showing is not None:
            self._showing.cancel()
        for stream, lines in self._streams.items():
            self._keep_pieces(stream, lines.end())
        if self._dropped_bytes:
            last = list(self._tail.lines())
            dropped = self._dropped_bytes - sum(len(text) + 1 for _, text in last)
            end = ", before these last lines of each stream" if last else ""
            self.mark(f"the log was cut at {self._limit_bytes} bytes: {dropped} bytes were dropped{end}")
            at = self._now()
            for stream, line in last:
                self._append((at, stream, _clean(line.decode("utf-8", "backslashreplace")), None, False))
        self._hurry.set()
        while self._writing is not None:
            await self._writing

    def _show_later(self) -> None:
        ended = [lines.ended for lines in self._streams.values()]
        self._showing = asyncio.get_running_loop().call_later(_SHOWN_S, self._show, ended)

    def _show(self, ended_before: list[int]) -> None:
        self._showing = None
        for before, (stream, lines) in zip(ended_before, self._streams.items(), strict=True):
            # What is read slowly since there is much of it is not slow to end.
            if lines.ended == before and not self.is_full:
                self._keep_pieces(stream, lines.show())
        if any(lines.is_unfinished for lines in self._streams.values()):
            self._show_later()

    def _keep_pieces(self, stream: str, pieces: Sequence[Piece]) -> None:
        if pieces:
            at = self._now()
            for text, continuation in pieces:
                self._keep((at, stream, text.decode("utf-8", "backslashreplace"), None, continuation))

    def _keep(self, line: _Line) -> None:
        at, stream, text, level, continuation = line
        size = len(text) + 1
        counted = max(size, _LEAST_BYTES)
        if self.is_dropping:
            self._drop(stream, f"\n{text}\n".encode(errors="backslashreplace"), size)
        elif self._kept_bytes + counted > self._limit_bytes:
            self.mark(f"the log is cut here: it reached its limit of {self._limit_bytes} bytes")
            self._drop(stream, f"\n{text}\n".encode(errors="backslashreplace"), size)
        else:
            self._kept_bytes += counted
            self._append((at, stream, _clean(text), level, continuation))

    def _drop(self, stream: str, end: bytes, size: int | None = None) -> None:
        """Count what is dropped, `size` bytes of which `end` is the end, and remember that for the end of the log."""
        self._dropped_bytes += len(end) if size is None else size
        self._tail.add(stream, end)

    def _mark(self, text: str) -> _Line:
        return (self._now(), "system", _clean(text), None, False)

    def _append(self, line: _Line) -> None:
        self._lines.append(line)
        self._held_bytes += _held(line)
        if self._held_bytes >= _HELD_BYTES:
            self._has_room.clear()
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._lines:
                if len(self._lines) < _BATCH_LINES:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._hurry.wait(), _BATCH_S)
                batch = self._lines[:_BATCH_LINES]
                del self._lines[:_BATCH_LINES]
                is_kept = await self._store_in_the_end(
                    [
                        LogLine(attempt=self._attempt, at=at, stream=stream, text=text, level=level, continuation=more)
                        for at, stream, text, level, more in batch
                    ]
                )
                self._held_bytes -= sum(map(_held, batch))
                if self._held_bytes < _HELD_BYTES:
                    self._has_room.set()
                if not is_kept:
                    self._missed_bytes += sum(len(text) + 1 for _, _, text, _, _ in batch)
                elif self._missed_bytes:
                    mark = self._mark(f"{self._missed_bytes} bytes before this line were lost: the store refused them")
                    self._lines.insert(0, mark)
                    self._held_bytes += _held(mark)
                    self._missed_bytes = 0
        finally:
            self._writing = None

    async def _store_in_the_end(self, lines: list[LogLine]) -> bool:
        """Whether the store has taken the lines; `False` where it would keep the run or its end waiting for ever."""
        retries, store_answers = pauses(*_DELAY_S), False
        while True:
            try:
                await self._store.append_logs(self._app, self._run, lines)
            except RunnerError as error:
                if store_answers and (self._hurry.is_set() or self.is_full):
                    _logger.warning("lost %d lines of the log of run %s: %s", len(lines), self._run, error)
                    return False
                _logger.warning("%d lines of the log of run %s wait for the store: %s", len(lines), self._run, error)
                store_answers = not isinstance(error, StoreUnavailableError) or await self._store_answers()
                await asyncio.sleep(next(retries))
            else:
                return True

    async def _store_answers(self) -> bool:
        try:
            await self._store.token_app(b"")  # any question will do
        except StoreError:
            return False
        return True


def _held(line: _Line) -> int:
    return len(line[2]) + _LINE_OVERHEAD


def _clean(text: str) -> str:
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
