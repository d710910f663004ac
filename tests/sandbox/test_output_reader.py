"""Reading what a process writes, into whatever takes it."""

from __future__ import annotations

import asyncio
import os

import pytest

from sandbox import Share
from sandbox.host.output_reader import OutputReader
from support.waiting import eventually_async


class Sink:
    """Keeps what comes; full and dropping as it is told."""

    def __init__(self):
        self.taken = {"stdout": b"", "stderr": b""}
        self.is_dropping = False
        self.has_room = asyncio.Event()
        self.has_room.set()

    @property
    def is_full(self):
        return not self.has_room.is_set()

    async def room(self):
        await self.has_room.wait()

    def write(self, stream, chunk):
        self.taken[stream] += chunk


class Process:
    """Two pipes, as a confined process has them."""

    def __init__(self):
        (self.stdout, self.out), (self.stderr, self.err) = os.pipe2(os.O_NONBLOCK), os.pipe2(os.O_NONBLOCK)
        self.share = Share()

    def end(self):
        os.close(self.out)
        os.close(self.err)


@pytest.fixture
def process():
    return Process()


async def test_what_is_written_comes_in_by_its_stream_and_the_rest_at_the_end(process):
    sink = Sink()
    reader = OutputReader(process, sink)
    os.write(process.out, b"one")
    await eventually_async(lambda: sink.taken["stdout"] == b"one")
    os.write(process.err, b"x" * 50_000)
    process.end()
    await reader.finish()

    assert sink.taken == {"stdout": b"one", "stderr": b"x" * 50_000}


async def test_what_ends_before_anybody_listens_is_taken_at_its_end(process):
    sink = Sink()
    reader = OutputReader(process, sink, idle_s=60)
    os.write(process.out, b"short")
    process.end()
    await reader.finish()

    assert sink.taken["stdout"] == b"short"


async def test_a_sink_without_room_leaves_what_comes_in_the_pipe(process):
    sink = Sink()
    sink.has_room.clear()
    reader = OutputReader(process, sink)
    os.write(process.out, b"x" * 50_000)
    await eventually_async(lambda: sink.taken["stdout"])
    await asyncio.sleep(0.05)
    assert len(sink.taken["stdout"]) < 5_000

    sink.has_room.set()
    await eventually_async(lambda: len(sink.taken["stdout"]) == 50_000)
    process.end()
    await reader.finish()


async def test_a_process_that_reads_its_own_pipe_is_heard_further(process):
    """It may open it anew by /proc, so that nothing is there where something was."""
    sink = Sink()
    reader = OutputReader(process, sink)
    (stdout, _) = reader._streams
    stdout._on_readable()
    os.write(process.out, b"still here")
    await eventually_async(lambda: sink.taken["stdout"] == b"still here")
    process.end()
    await reader.finish()


async def test_a_finish_that_is_cancelled_closes_both(process):
    sink = Sink()
    reader = OutputReader(process, sink)
    sink.has_room.clear()
    os.write(process.out, b"x")
    process.end()
    finishing = asyncio.create_task(reader.finish())
    await asyncio.sleep(0)
    finishing.cancel()
    await asyncio.gather(finishing, return_exceptions=True)

    for descriptor in (process.stdout, process.stderr):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
