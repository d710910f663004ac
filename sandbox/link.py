"""The runner's link to its launcher: starts the process, sends requests, hands on what comes back."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sandbox.errors import LauncherError
from sandbox.launcher import MESSAGE_LIMIT

_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from sandbox.launcher import main; main(int(sys.argv[2]))"
_HOME = str(Path(__file__).resolve().parent.parent)
_START_PATIENCE_S = 30.0
_MOST_DESCRIPTORS = 4


class Link:
    """A running launcher.

    Args:
        on_message: gets each message with its descriptors, which it owns from then on. Raises `LauncherError` for what
            is no message of a launcher; that is the end of it.
        on_death: called when it is gone, or killed for what it said.
    """

    def __init__(self, on_message: Callable[[dict[str, Any], list[int]], None], on_death: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_death = on_death
        self._socket, self._far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self._process: subprocess.Popen[bytes] | None = None
        self._sending = asyncio.Lock()

    async def start(self, lock: int, *, packages: Sequence[str], preload: Sequence[str]) -> None:
        """Start the process and wait until it is ready. Raises `LauncherError`."""
        command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT, _HOME, str(self._far_end.fileno())]
        environment = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        try:
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - a fork, no more
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
                pass_fds=(self._far_end.fileno(),),
                start_new_session=True,  # Ctrl-C is for the runner, which then ends what it began
            )
        except OSError as error:
            raise LauncherError(f"the launcher cannot be started: {error}") from error
        finally:
            self._far_end.close()
        hello = {
            "path": _search_path(),
            "prefixes": {"prefix": sys.prefix, "exec_prefix": sys.exec_prefix},
            "packages": ["sandbox", *packages],
            "preload": list(preload),
        }
        try:
            async with asyncio.timeout(_START_PATIENCE_S):
                await self.send(hello, [lock])
                answer = await self._first_message()
        except TimeoutError:
            raise LauncherError("the launcher did not answer") from None
        if answer != {"hello": True}:
            raise LauncherError(f"the launcher could not start: {(answer or {}).get('failed', 'it died')}")
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    async def send(self, message: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Send one message. Raises `LauncherError` if the launcher is gone or the message is too large."""
        data = json.dumps(message).encode()
        if len(data) > MESSAGE_LIMIT:
            raise LauncherError(f"the launch takes {len(data)} bytes to describe, the limit is {MESSAGE_LIMIT}")
        async with self._sending:
            while True:
                try:
                    socket.send_fds(self._socket, [data], list(descriptors))
                except BlockingIOError:
                    await _until(
                        asyncio.get_running_loop().add_writer, asyncio.get_running_loop().remove_writer, self._socket
                    )
                except OSError as error:
                    raise LauncherError(f"the launcher is gone: {error.strerror}") from error
                else:
                    return

    async def _first_message(self) -> dict[str, Any] | None:
        await _until(asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader, self._socket)
        received = self._receive()
        return None if received is None else received[0]

    def _readable(self) -> None:
        try:
            received = self._receive()
        except BlockingIOError:
            return
        if received is not None:
            message, descriptors = received
            try:
                self._on_message(message, descriptors)
            except LauncherError:  # nothing that it says can be trusted any more; what it launched ends with it
                for descriptor in descriptors:
                    os.close(descriptor)
                assert self._process is not None
                self._process.kill()
            else:
                return
        asyncio.get_running_loop().remove_reader(self._socket)
        self._on_death()

    def _receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """One message and its descriptors; `None` at the end, an empty message for garbage."""
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self._socket, MESSAGE_LIMIT, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError:
            return None
        if not data:
            return None
        try:
            message = json.loads(data)
        except (ValueError, RecursionError):
            message = {}
        return (message if isinstance(message, dict) else {}), descriptors

    async def close(self) -> None:
        """Close the socket, on which the launcher kills all that it launched, and wait for its end."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._far_end.close()
        if self._process is not None:
            pidfd = os.pidfd_open(self._process.pid)
            try:
                await until_readable(pidfd)
            finally:
                os.close(pidfd)
            self._process.wait()


def _search_path() -> list[str]:
    """Of this process; an empty entry means the working directory, which the launcher need not share."""
    return [os.path.abspath(entry) for entry in sys.path]


async def until_readable(descriptor: int) -> None:
    """Wait until `descriptor` is readable; a pidfd is when its process has ended."""
    loop = asyncio.get_running_loop()
    await _until(loop.add_reader, loop.remove_reader, descriptor)


async def _until(watch: Any, forget: Any, descriptor: Any) -> None:
    ready = asyncio.Event()
    watch(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        forget(descriptor)
