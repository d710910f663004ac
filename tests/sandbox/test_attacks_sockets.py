"""Rows 92 to 95 of the attack table: what the runner is sent beside bytes, and connections made without `connect`."""

from __future__ import annotations

import errno
import socket

import pytest

from sandbox import Limits

HERE, THERE = "socket.socket(fileno=os.dup(3))", "('127.0.0.1', LISTENER.getsockname()[1])"
_SO_PASSRIGHTS = 83
_FAST = 0x20000000
FAST_OPEN = (
    f"socket.socket().sendto(b'x', {_FAST}, {THERE})",
    f"socket.socket().sendmsg([b'x'], (), {_FAST}, {THERE})",
    f"call('sendto', socket.socket().detach(), b'x', 1, {_FAST}, b'', 0)",
    f"call('sendto', socket.socket().detach(), b'x', 1, {_FAST | 1 << 32}, b'', 0)",
    f"call('sendmsg', socket.socket().detach(), bytes(56), {_FAST | 0x4000}, 0, 0, 0)",
    f"call('sendmmsg', socket.socket().detach(), bytes(64), 1, {_FAST}, 0, 0)",
)


@pytest.fixture
def refusing_kernel():
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.getsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS)
        except OSError:
            pytest.skip("this kernel refuses no descriptors (Linux 6.16 does)")


@pytest.mark.usefixtures("refusing_kernel")
async def test_92_a_descriptor_for_the_runner_to_close(arena, actor):
    confined = await arena.launch("attacks:evaluate")
    ask = actor.Inside(confined)

    for sent in ("0", "os.memfd_create('x')", "socket.socket().detach()"):
        answer = await ask(f"socket.send_fds({HERE}, [b' '], [{sent}])")
        assert isinstance(answer, OSError)
        assert answer.errno == errno.EPERM

    confined.kill()
    await actor.finish(confined)


async def test_92_and_a_socket_that_keeps_whoever_closes_it_waiting(arena, actor):
    confined = await arena.launch("attacks:evaluate")
    ask = actor.Inside(confined)

    for level in ("socket.SOL_SOCKET", "socket.SOL_SOCKET | 1 << 32"):
        await ask(
            "globals().update(kept=socket.socket()) or "
            f"call('setsockopt', kept.fileno(), {level}, socket.SO_LINGER, struct.pack('ii', 1, 9), 8) and None"
        )
        assert await ask("any(kept.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))") == str(False)

    confined.kill()
    await actor.finish(confined)


async def test_93_a_connection_that_is_made_by_sending(arena, actor):
    confined = await arena.launch("attacks:evaluate", network=("127.0.0.1:9",))
    ask = actor.Inside(confined)
    await ask("globals().update(LISTENER=socket.socket()) or LISTENER.listen()")

    for expression in FAST_OPEN:
        answer = await ask(expression)
        assert isinstance(answer, OSError), f"{expression} gave {answer}"
        assert answer.errno == errno.EOPNOTSUPP, expression

    confined.kill()
    await actor.finish(confined)


FILL_CONNECTIONS = """
def fill(port, count):
    sent = 0
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port))
        kept.append(connection)
        connection.setblocking(False)
        try:
            while True:
                sent += connection.send(bytes(1 << 16))
        except BlockingIOError:
            pass
    return sent
"""


async def test_95_memory_that_connections_hold(arena, actor):
    limits = Limits(memory_bytes=64 << 20, processes=8, open_files=64)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        port = silent.getsockname()[1]
        confined = await arena.launch("attacks:evaluate", network=(f"127.0.0.1:{port}",), limits=limits)
        ask = actor.Inside(confined)
        await ask(f"globals().update(kept=[]) or exec({FILL_CONNECTIONS!r}, globals())")

        assert int(await ask(f"fill({port}, 40)")) < 2 * limits.memory_bytes  # the kernel lets each have a little more

        confined.kill()
        await actor.finish(confined)
