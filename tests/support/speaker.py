"""Attempts without processes: what an engine launches is played on real sockets, frame by hostile frame.

A `Speaker` takes the place of an engine's sandbox. What it launches reads the first frame, as every guest does, and
then says what was put in its mouth for that run, or answers as an honest task would. It dies when it has spoken, or
when the runner kills it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

from runner.engine.engine import Engine
from sandbox import Confined, Lease, Spec
from sandbox.host.links.frame_stream import FrameStream
from sandbox.protocol.control_messages import End
from sandbox.protocol.wire import encode
from support.hostile import Speech

HONEST = Speech((encode({"type": "response", "result": "honest"}),), "dies")


class Spoken(Confined):
    """Stands on its own feet: no process, no pidfd; killed means over."""

    def __init__(self) -> None:
        control, self.far_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel, self.far_channel = socket.socketpair()
        for end in (control, channel, self.far_channel):
            end.setblocking(False)
        pipes = [os.pipe2(os.O_NONBLOCK) for _ in range(2)]
        super().__init__(None, control, channel, pipes[0][0], pipes[1][0])
        self._far_ends = [pipe[1] for pipe in pipes]
        self.limits_memory, self.walls = True, "played"
        self.playing: asyncio.Task[None] | None = None

    def kill(self) -> None:
        """The end, once."""
        if self._far_ends:
            while self._far_ends:
                os.close(self._far_ends.pop())
            assert self.playing is not None
            self.playing.cancel()
            asyncio.get_running_loop().call_soon(self._close_far_ends)

    def _close_far_ends(self) -> None:
        self.far_channel.close()
        self.far_control.close()
        self.ended(End(0.0, 1))


class Speaker:
    """Launches what only talks."""

    def __init__(self) -> None:
        self.speeches: dict[str, Speech] = {}

    async def make_room(self) -> None:
        """Nothing is kept warm."""

    async def launch(self, spec: Spec, lease: Lease | None = None) -> Confined:
        """One more on the stage."""
        spoken = Spoken()
        spoken.playing = asyncio.create_task(self._play(spoken))
        return spoken

    async def _play(self, spoken: Spoken) -> None:
        loop = asyncio.get_running_loop()
        start = await FrameStream(spoken.far_channel).receive()
        assert start is not None
        speech = self.speeches.pop(start["context"]["run"], HONEST)
        with contextlib.suppress(ConnectionError):
            for piece in speech.pieces:
                await loop.sock_sendall(spoken.far_channel, piece)
                await asyncio.sleep(0)
        if speech.ending == "closes":
            spoken.far_channel.shutdown(socket.SHUT_RDWR)
        if speech.ending == "dies":
            loop.call_soon(spoken.kill)
        else:
            await asyncio.Event().wait()


def play(engine: Engine) -> Speaker:
    """Let the engine launch no processes from here on."""
    speaker = Speaker()
    engine.relauncher._sandbox = speaker  # type: ignore[assignment]
    return speaker
