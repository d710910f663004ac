"""The runner's end of a socket to a process that launches for it: the launcher, a zygote supervisor or an init."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import time
from collections.abc import Callable, Sequence

from sandbox.errors import LauncherError, SetupError
from sandbox.protocol import messages
from sandbox.protocol.messages import CROWDED_PATIENCE_S, CROWDED_PAUSE_S, MESSAGE_LIMIT, CrowdedError, Message


class Line:
    """Sends messages, and hands on those that come.

    Args:
        on_message: gets each message with its descriptors, which it owns from then on. If it raises `LauncherError`,
            because the other process never sends such a message, no more are received.
        on_end: called once no more messages are received.

    Attributes:
        far_end: the other process's end; close it once that process has it.
    """

    def __init__(self, on_message: Callable[[Message, list[int]], None], on_end: Callable[[], None]) -> None:
        self._on_message, self._on_end = on_message, on_end
        self._socket, self.far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self._sending = asyncio.Lock()

    async def send(self, message: Message, descriptors: Sequence[int]) -> None:
        """Send one message.

        Raises:
            LauncherError: the other process is gone, or the message is too large.
            SetupError: the kernel does not take the message now; nothing was sent, and both ends are still usable.
        """
        data = json.dumps(message).encode()
        if len(data) > MESSAGE_LIMIT:
            raise LauncherError(f"the launch takes {len(data)} bytes to describe, the limit is {MESSAGE_LIMIT}")
        until = time.monotonic() + CROWDED_PATIENCE_S
        async with self._sending:
            while True:
                try:
                    messages.send_at_once(self._socket, data, descriptors)
                except BlockingIOError:
                    await until_writable(self._socket.fileno())
                except CrowdedError as error:
                    if time.monotonic() > until:
                        raise SetupError.caused_by("launch", error) from error
                    await asyncio.sleep(CROWDED_PAUSE_S)
                except ConnectionError as error:
                    raise LauncherError(f"the launcher is gone: {error.strerror}") from error
                except OSError as error:
                    if self._socket.fileno() < 0:
                        raise LauncherError("the launcher is gone") from error
                    raise SetupError.caused_by("launch", error) from error
                else:
                    return

    def send_now(self, data: bytes, descriptors: Sequence[int]) -> None:
        """Send these bytes to a process that reads at once. Raises `OSError`; nothing was sent then."""
        messages.send_at_once(self._socket, data, descriptors)

    def is_over(self) -> bool:
        """Whether either process has closed its end; messages may still be waiting to be received."""
        if self._socket.fileno() < 0:
            return True
        poller = select.poll()
        poller.register(self._socket, 0)
        return bool(poller.poll(0))

    async def first_message(self) -> Message | None:
        """Wait for one message; `None` at the end. Only before `listen`."""
        await until_readable(self._socket.fileno())
        received = messages.receive(self._socket)
        return None if received is None else received[0]

    def listen(self) -> None:
        """Hand on messages as they come, from now on."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def drain(self) -> None:
        """Hand on what has arrived: once the other process is dead, these are all messages that there will be."""
        while self._socket.fileno() >= 0 and self._readable():
            pass

    def close(self) -> None:
        """Close both ends that this process holds. Closing twice does no harm."""
        if self._socket.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self.far_end.close()

    def _readable(self) -> bool:
        """Hand on one message; whether there was one."""
        try:
            received = messages.receive(self._socket)
        except BlockingIOError:
            return False
        if received is not None:
            message, descriptors = received
            try:
                self._on_message(message, descriptors)
            except LauncherError:
                for descriptor in descriptors:
                    os.close(descriptor)
            else:
                return True
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._on_end()
        return False


async def until_readable(descriptor: int) -> None:
    """Wait until `descriptor` is readable; a pidfd is when its process has ended."""
    loop = asyncio.get_running_loop()
    await _until(loop.add_reader, loop.remove_reader, descriptor)


async def until_writable(descriptor: int) -> None:
    """Wait until `descriptor` is writable."""
    loop = asyncio.get_running_loop()
    await _until(loop.add_writer, loop.remove_writer, descriptor)


async def _until(watch: Callable[..., object], forget: Callable[..., object], descriptor: int) -> None:
    ready = asyncio.Event()
    watch(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        forget(descriptor)


def read_pid(pidfd: int) -> int:
    """The pid of a pidfd's process in this process's own pid namespace."""
    with open(f"/proc/self/fdinfo/{pidfd}", "rb", buffering=0) as fields:
        return next(int(line.split()[1]) for line in fields.read().splitlines() if line.startswith(b"Pid:"))
