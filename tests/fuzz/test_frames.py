"""Both readers of frames, on bytes that nobody should send, through real sockets."""

from __future__ import annotations

import asyncio
import json
import socket

from hypothesis import given
from hypothesis import strategies as st

from sandbox import WireError
from sandbox.host.links.frame_stream import FrameStream
from sandbox.protocol.channel import Channel
from sandbox.protocol.wire import FRAME_LIMIT, Decoder
from support.hostile import Speech, bodies, framed, fuzzed, speeches


@fuzzed(400)
@given(speeches())
async def test_the_runner_reads_frames_or_refuses_them_and_goes_on(speech: Speech):
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    stream, frames, refused = FrameStream(near), 0, None
    speaking = asyncio.create_task(say(far, speech))

    try:
        async with asyncio.timeout(30):
            while (frame := await stream.receive()) is not None:
                assert type(frame) is dict
                json.dumps(frame, allow_nan=False, ensure_ascii=False).encode()
                frames += 1
    except WireError as error:
        refused = error

    speaking.cancel()
    await asyncio.gather(speaking, return_exceptions=True)
    stream.finish()
    far.close()
    assert refused is None or str(refused).isprintable()
    again = as_cut(b"".join(speech.pieces))
    assert (frames, refused is None) == again


async def say(far: socket.socket, speech: Speech) -> None:
    for piece in speech.pieces:
        await asyncio.get_running_loop().sock_sendall(far, piece)
        await asyncio.sleep(0)
    far.shutdown(socket.SHUT_WR)


def as_cut(data: bytes) -> tuple[int, bool]:
    """How many frames come of the same bytes at once, and whether to the end."""
    decoder, frames = Decoder(), 0
    decoder.feed(data)
    try:
        while decoder.next_frame() is not None:
            frames += 1
        decoder.finish()
    except WireError:
        return frames, False
    return frames, True


@fuzzed(200)
@given(speeches())
def test_a_task_reads_frames_or_refuses_them(speech: Speech):
    near, far = socket.socketpair()
    frames, whole, data = 0, True, b"".join(speech.pieces)
    with near, far:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        far.setblocking(False)
        data = data[: far.send(data)] if data else data  # what a buffer holds: it may end amid a frame
        far.close()
        channel = Channel(near)
        try:
            while (frame := channel.receive()) is not None:
                assert type(frame) is dict
                frames += 1
        except WireError:
            whole = False
    assert (frames, whole) == as_cut(data)


@fuzzed(200)
@given(st.lists(bodies, max_size=3), st.integers(1, 9))
def test_a_decoder_holds_no_more_than_one_frame_and_what_it_was_fed(several, size):
    decoder, data = Decoder(), b"".join(map(framed, several))

    try:
        for begin in range(0, len(data), size * 1000):
            decoder.feed(data[begin : begin + size * 1000])
            while decoder.next_frame() is not None:
                pass
            assert len(decoder._buffer) < max(map(len, several)) + 4 <= FRAME_LIMIT
    except WireError:
        pass
