"""The relay: a process beside the runner that connects attempts to the single hosts that were granted to them.

    task ── loopback of its namespace ── listener, accepted here ── the host's network ── the granted host

One for each runner, started with the first attempt that needs it. It is a process of its own, so that a flood through
it takes none of the runner's time. It holds no secret and no capability, and does not look at what it passes on.

For each attempt the runner sends the listeners that were made in the attempt's namespace, and one end of a socket pair.
On that the relay reports, for the attempt's log, which host it could not connect to and why. When the runner closes it,
all connections of the attempt end. When the runner ends, so does the relay.

Nothing more is read before the last piece is written, so each connection holds one piece in each direction, and a slow
reader slows its writer. After every piece the other connections get their turn. The end of one direction is passed on
(half-close); an error resets both sides. Names are looked up at every connect, so that they are current: a few at a
time for each attempt, so that a silent name server for the names of one delays no other, and each name once at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sandbox import endpoint
from sandbox.endpoint import Endpoint
from sandbox.kernel import identity, process_tree, rlimits, syscalls
from sandbox.loops import new_event_loop

MESSAGE_LIMIT = 16 << 10
_MOST_CONNECTIONS = 64  # of an attempt at once; further ones wait
_MOST_LOOKUPS = 256
_MOST_LOOKUPS_OF_ONE = 4
_CONNECT_PATIENCE_S = 10.0  # for each address of a host
_PAUSE_S = 0.1
_PIECE_BYTES = 64 << 10
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset
#: How many bytes to and from a far host the kernel holds before the sender has to wait.
_WINDOW_BYTES = 1 << 20
_UNSENT_BYTES = 128 << 10
_TCP_NOTSENT_LOWAT = 25

#: Its family, and what `connect` takes.
_Address = tuple[int, tuple[Any, ...]]


def main(socket_descriptor: int) -> None:
    """Relay for the runner at the other end of this socket until it goes."""
    process_tree.die_with_parent()
    syscalls.set_process_name(b"isolane-relay")
    identity.shield()
    identity.drop_capabilities()
    identity.forbid_new_privileges()
    rlimits.raise_files()
    runner = socket.socket(fileno=socket_descriptor)
    runner.setblocking(False)
    with asyncio.Runner(loop_factory=new_event_loop) as loop:
        loop.run(_serve(runner))


async def _serve(runner: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_MOST_LOOKUPS))
    attempts: set[asyncio.Task[None]] = set()
    arrived, gone = asyncio.Event(), False
    loop.add_reader(runner, arrived.set)
    while not gone:
        await arrived.wait()
        arrived.clear()
        try:
            data, descriptors, _, _ = socket.recv_fds(runner, MESSAGE_LIMIT, endpoint.MOST + 1, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            continue
        except OSError:
            data, descriptors = b"", []
        gone = not data
        if data:
            told, *listeners = [socket.socket(fileno=descriptor) for descriptor in descriptors]
            endpoints = [endpoint.parse(text) for text in json.loads(data)]
            task = asyncio.create_task(_Attempt(told, dict(zip(listeners, endpoints, strict=True))).serve())
            attempts.add(task)
            task.add_done_callback(attempts.discard)
    os._exit(0)  # without waiting for lookups that go on; the kernel closes what is open


class _Attempt:
    """The connections of one attempt."""

    def __init__(self, runner: socket.socket, granted: dict[socket.socket, Endpoint]) -> None:
        self._runner, self._granted = runner, granted
        for each in (runner, *granted):
            each.setblocking(False)
        self._free = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._may_look_up = asyncio.Semaphore(_MOST_LOOKUPS_OF_ONE)
        self._lookups: dict[Endpoint, asyncio.Task[list[_Address]]] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._told: set[str] = set()

    async def serve(self) -> None:
        """Accept and relay until the runner closes its end."""
        accepting = [asyncio.create_task(self._accept(*granted)) for granted in self._granted.items()]
        try:
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().sock_recv(self._runner, 1)
        finally:
            tasks = [*accepting, *self._connections, *self._lookups.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in (self._runner, *self._granted):
                each.close()

    async def _accept(self, listener: socket.socket, to: Endpoint) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                near, _ = await loop.sock_accept(listener)
            except OSError as error:  # it was reset already, or there are too many open files
                self._tell(f"network: a connection to {to} could not be accepted: {error.strerror}")
                await asyncio.sleep(_PAUSE_S)
                continue
            if self._free.locked():
                self._tell(f"network: {_MOST_CONNECTIONS} connections are open, which is the most; further ones wait")
            try:
                await self._free.acquire()
            except BaseException:
                near.close()
                raise
            connection = asyncio.create_task(self._connect(near, to))
            self._connections.add(connection)
            connection.add_done_callback(self._ended)

    def _ended(self, connection: asyncio.Task[None]) -> None:
        self._connections.discard(connection)
        self._free.release()

    async def _connect(self, near: socket.socket, to: Endpoint) -> None:
        with near:
            try:
                far = await self._dial(to)
            except OSError as error:
                _reset(near)
                self._tell(f"network: cannot connect to {to}: {error.strerror or error}")
                return
            except BaseException:
                _reset(near)
                raise
            with far:
                try:
                    await _exchange(near, far)
                except BaseException as error:
                    _reset(near)
                    _reset(far)
                    if not isinstance(error, OSError):
                        raise

    async def _dial(self, to: Endpoint) -> socket.socket:
        """A connection to the first address of the host that takes one. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        failure = OSError("it has no address")
        for family, address in [(to.family, (to.host, to.port))] if to.family else await self._find(to):
            far = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                far.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                far.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, _WINDOW_BYTES)
                far.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
                async with asyncio.timeout(_CONNECT_PATIENCE_S):
                    await loop.sock_connect(far, address)
            except TimeoutError:
                far.close()
                failure = OSError(f"it did not answer within {_CONNECT_PATIENCE_S:g} s")
            except OSError as error:
                far.close()
                failure = OSError(error.errno, os.strerror(error.errno)) if error.errno else error
            except BaseException:
                far.close()
                raise
            else:
                return far
        raise failure

    async def _find(self, to: Endpoint) -> list[_Address]:
        """Its addresses; joins a lookup that is under way. Raises `OSError`."""
        if to not in self._lookups:
            self._lookups[to] = asyncio.create_task(self._look_up(to))
        return await asyncio.shield(self._lookups[to])

    async def _look_up(self, to: Endpoint) -> list[_Address]:
        try:
            async with self._may_look_up:
                found = await asyncio.get_running_loop().getaddrinfo(to.host, to.port, type=socket.SOCK_STREAM)
        finally:
            del self._lookups[to]
        return [(family, address) for family, _, _, _, address in found]

    def _tell(self, line: str) -> None:
        """Report a line to the runner, once, so that a task that tries again and again does not fill its log."""
        if line not in self._told:
            self._told.add(line)
            with contextlib.suppress(OSError):
                self._runner.send(line.encode())


async def _exchange(near: socket.socket, far: socket.socket) -> None:
    """Pass on both directions until both have ended. Raises `OSError` if one side breaks off."""
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    directions = [asyncio.create_task(_pass_on(near, far)), asyncio.create_task(_pass_on(far, near))]
    try:
        await asyncio.gather(*directions)
    finally:
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)


async def _pass_on(source: socket.socket, target: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while piece := await loop.sock_recv(source, _PIECE_BYTES):
        await loop.sock_sendall(target, piece)
        await asyncio.sleep(0)  # the two calls above do not yield if they need not wait
    target.shutdown(socket.SHUT_WR)


def _reset(connection: socket.socket) -> None:
    """Have the connection end by a reset, so that the other side does not take it for a normal end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
