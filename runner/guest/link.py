"""The task's way to the runner: calls and their replies, logs and progress, multiplexed over the one channel.

Any thread of the task may call. The first call starts a thread that reads replies and hands each to whoever waits for
it; tasks that never call have no such thread. Neither `threading` nor `concurrent.futures` is used, since a plain task
should not pay for their import. Processes that the task forks hold the channel too, and must not write to it.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock, get_ident, start_new_thread
from collections.abc import Callable, Mapping
from typing import Any

from runner.errors import LimitExceededError, RunnerError, TransportError
from sandbox.errors import WireError
from sandbox.protocol.channel import Channel

Frame = dict[str, Any]
#: Takes a reply, or `None` where none will come any more.
Deliver = Callable[[Frame | None], None]


class ChannelLink:
    """What `runner.sdk.link.Link` asks for, over a channel."""

    def __init__(self, channel: Channel, *, parameters_bytes: int, most_values: int | None = None) -> None:
        self.parameters_bytes = parameters_bytes
        self._most_values = most_values  # of a long call
        self._channel, self._owner = channel, os.getpid()
        self._sending, self._sender = allocate_lock(), 0
        self._asking = allocate_lock()
        self._waiting: dict[int, Deliver] = {}
        self._last_id = 0
        self._closed = False  # no more replies will come
        self._finished = False  # the answer was sent; nothing may follow it

    def call(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Ask the runner, and wait for its answer; see `Link.call`."""
        arrived, replies = allocate_lock(), []
        arrived.acquire()

        def deliver(reply: Frame | None) -> None:
            replies.append(reply)
            arrived.release()

        number = self._ask(method, arguments, deliver)
        try:
            arrived.acquire()
        finally:
            self._waiting.pop(number, None)
        return _result(replies[0])

    async def acall(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """As `call`, without stopping the event loop."""
        loop = sys.modules["asyncio"].get_running_loop()
        future = loop.create_future()

        def take(reply: Frame | None) -> None:
            if not future.done():
                future.set_result(reply)

        number = self._ask(method, arguments, lambda reply: loop.call_soon_threadsafe(take, reply))
        try:
            return _result(await future)
        finally:
            self._waiting.pop(number, None)

    def post(self, frame: Mapping[str, Any]) -> None:
        """Send a frame that needs no answer.

        Raises:
            TransportError: the runner is gone, or the task has responded.
            LimitExceededError: too large for one frame.
            RunnerError: called in a process that the task forked, or amid a frame of the same thread.
        """
        self._send(frame, is_last=False)

    def finish(self, answer: Frame) -> None:
        """Send the answer; nothing can follow it."""
        self._send(answer, is_last=True)

    def _send(self, frame: Mapping[str, Any], *, is_last: bool) -> None:
        if os.getpid() != self._owner:
            raise RunnerError("only the task's own process can call the runner; this is one that it forked")
        # A destructor or a signal handler may log while this thread is sending: waiting would be for ever.
        if self._sender == get_ident():
            raise RunnerError("this thread is sending already")
        with self._sending:
            self._sender = get_ident()
            try:
                if self._finished:
                    raise TransportError("the task has responded; nothing more can be sent")
                self._finished = is_last
                self._channel.send(frame, None if is_last else self._most_values)
            except WireError as error:
                raise LimitExceededError(f"this is too much for one call: {error}") from None
            except OSError as error:
                raise TransportError(f"the runner is gone: {error}") from None
            finally:
                self._sender = 0

    def _ask(self, method: str, arguments: Mapping[str, Any], deliver: Deliver) -> int:
        with self._asking:
            if self._last_id == 0:
                start_new_thread(self._read, ())
            self._last_id = number = self._last_id + 1
        self._waiting[number] = deliver
        if self._closed:
            self._deliver(number, None)
            return number
        try:
            self.post({"type": "call", "id": number, "method": method, "arguments": arguments})
        except BaseException:
            self._waiting.pop(number, None)
            raise
        return number

    def _read(self) -> None:
        try:
            while (frame := self._channel.receive()) is not None:
                self._deliver(frame.get("id"), frame)
        except (OSError, WireError):
            pass  # told to everybody who waits
        self._closed = True
        for number in list(self._waiting):
            self._deliver(number, None)

    def _deliver(self, number: Any, reply: Frame | None) -> None:
        deliver = self._waiting.pop(number, None)
        try:
            if deliver is not None:
                deliver(reply)
        except RuntimeError:
            pass  # its event loop was closed meanwhile


def _result(reply: Frame | None) -> Any:
    if reply is None:
        raise TransportError("the runner is gone, and whether it acted is not known")
    if "error" in reply:
        raise RunnerError.rebuild(reply["error"]["code"], reply["error"]["message"])
    return reply["result"]
