"""Single hosts and ports, granted to an attempt that has no other network."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import struct
from pathlib import Path

import psutil
import pytest

from sandbox import Limits, Sandbox, WarmUp
from support.tls import AUTHORITY, server_context
from support.waiting import eventually_async
from support.warm import need_zygotes

#: What the task's side of a conversation is made of.
SAY = "(lambda s: (s.sendall(b'{text}'), s.shutdown(1), s.makefile('rb').read().decode())[2])(open_to({to}, {port}))"
FLOOD_BYTES = 64 << 20
INSIDE = Path(__file__).parent / "inside"
LIMITS = Limits(memory_bytes=128 << 20, processes=32, disk_bytes=4 << 20, open_files=128)


def say(to, port, text="hello"):
    return SAY.format(to=repr(to), port=port, text=text)


@contextlib.asynccontextmanager
async def served(answer, address="127.0.0.1", port=0, **options):
    """A server on the host; `answer` takes each connection's streams."""

    serving = set()

    async def serve(reader, writer):
        serving.add(asyncio.current_task())
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # asyncio would log that its task was cancelled
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, address, port, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def echo(reader, writer):
    """Answer only when the other side has ended."""
    writer.write(b"you said " + await reader.read())
    await writer.drain()


def saying(text):
    async def answer(reader, writer):
        await reader.read()
        writer.write(text)
        await writer.drain()

    return answer


async def greet(_, writer):
    writer.write(b"in private")
    await writer.drain()


async def silent(reader, _):
    """Read nothing; end when the connection breaks."""
    reader._transport.pause_reading()
    await asyncio.Event().wait()


@pytest.fixture(params=["alone", "warm"])
async def granted(request, sandbox, actor, tmp_path):
    """Launches attempts that are granted hosts; each is asked, and has its `notes`."""
    launched = []
    warm_up = WarmUp(entry="builtins:__import__", arguments=("actor",)) if request.param == "warm" else None

    if warm_up is not None:
        need_zygotes(tmp_path)

    async def launch(*hosts):
        spec = actor.spec("evaluate", network=hosts, limits=LIMITS, warm_up=warm_up)
        if warm_up is not None:
            assert await sandbox.warm_up(spec) == ""
        confined = await sandbox.launch(spec)
        launched.append(confined)
        ask = actor.Inside(confined)
        ask.notes = []
        confined.watch_network(ask.notes.append)
        return ask

    yield launch
    for confined in launched:
        confined.kill()
        await actor.finish(confined)


def relay_of(sandbox):
    return psutil.Process(sandbox._relay._process.pid)


async def test_a_granted_host_is_reached_by_its_name_and_nothing_else_of_it(granted):
    async with served(echo) as port, served(echo) as other:
        ask = await granted(f"localhost:{port}")

        assert await ask(say("localhost", port)) == "you said hello"
        assert (await ask(f"connect('localhost', {other})")).errno == errno.EACCES
        assert (await ask(f"connect('127.0.0.1', {port})")).errno == errno.ECONNREFUSED
        assert ask.notes == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_granted_address_is_reached_as_it_is_written(granted, address):
    async with served(echo, address) as port:
        ask = await granted(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")

        assert await ask(say(address, port)) == "you said hello"


async def test_hosts_with_the_same_port_are_told_apart(granted):
    async with served(saying(b"one")) as port, served(saying(b"two"), "127.0.0.2", port):
        ask = await granted(f"127.0.0.2:{port}", f"localhost:{port}")

        assert await ask(say("localhost", port)) == "one"
        assert await ask(say("127.0.0.2", port)) == "two"


async def test_many_connect_at_once(granted):
    async with served(echo) as port:
        ask = await granted(f"localhost:{port}")

        assert await ask(f"at_once(24, lambda: ask_for({port}))") == ["you said "] * 24


async def test_tls_holds_to_the_name_that_was_asked_for(granted):
    async with served(greet, ssl=server_context()) as port:
        ask = await granted(f"localhost:{port}", f"127.0.0.1:{port}")
        wrapped = f"tls_to({{}}, {port}, {AUTHORITY!r})"

        assert await ask(wrapped.format("'localhost'")) == "in private"
        assert "certificate" in str(await ask(f"error_of(lambda: {wrapped.format(repr('127.0.0.1'))})"))


async def test_an_address_that_is_far_away_and_a_port_below_1024_have_a_listener(granted):
    ask = await granted("192.0.2.77:25", "mail.invalid:587")

    assert await ask("connect('192.0.2.77', 25)") is True
    assert await ask("connect('mail.invalid', 587)") is True


@pytest.mark.parametrize(
    "attempt",
    [
        "connect('127.0.0.1', 1)",
        "connect('192.0.2.1', {port})",
        "connect('1.1.1.1', 443)",
        "connect('169.254.169.254', 80)",
        "connect('169.254.169.254', {port})",
        "connect('2001:db8::1', {port})",
        "connect('::1', {port})",
        "socket.getaddrinfo('example.com', {port})",
        "socket.create_server(('127.0.0.1', 0))",
        "socket.socket(2, 2).sendto(b'x', ('192.0.2.1', 53))",
        "socket.socket(2, 2).sendto(b'x', ('169.254.169.254', {port}))",
        "socket.socket(10, 2).sendto(b'x', ('2001:db8::1', 53))",
        "socket.socket(2, 1, 262)",
        "socket.socket(2, 1, 132)",
        "socket.socket(2, 3, 1)",
        "socket.socket(16, 3, 0)",
        "socket.socket(40, 1)",
        "socket.socket(1, 1).connect('/run/docker.sock')",
        "socket.socket(1, 1).connect('{path}')",
        "socket.socket(1, 1).connect(chr(0) + '{abstract}')",
    ],
)
async def test_everything_else_stays_denied(granted, tmp_path, attempt):
    abstract = f"isolane-network-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as by_path, socket.socket(socket.AF_UNIX) as by_name:
        path = tmp_path / "socket"
        by_path.bind(os.path.relpath(path))
        path.chmod(0o777)
        by_name.bind("\0" + abstract)
        for server in (by_path, by_name):
            server.listen()
        async with served(echo) as port:
            ask = await granted(f"localhost:{port}")
            for name, value in {"port": port, "path": path, "abstract": abstract}.items():
                attempt = attempt.replace("{" + name + "}", str(value))

            assert isinstance(await ask(attempt), OSError)
            assert await ask(say("localhost", port)) == "you said hello"


async def test_a_sibling_without_the_grant_has_no_network(granted, inside):
    async with served(echo) as port:
        await granted(f"localhost:{port}")

        assert (await inside(f"connect('localhost', {port})")).errno in (errno.EACCES, errno.ENETUNREACH)


async def test_a_server_that_refuses_is_a_reset_to_the_task_and_a_line_to_the_runner(granted):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        ask = await granted(f"localhost:{port}", "nowhere.invalid:443")

        for _ in range(3):
            assert (await ask(f"open_to('localhost', {port}).recv(1)")).errno == errno.ECONNRESET
        assert (await ask("open_to('nowhere.invalid', 443).recv(1)")).errno == errno.ECONNRESET
        await eventually_async(lambda: len(ask.notes) > 1)
        assert ask.notes[0] == f"network: cannot connect to localhost:{port}: Connection refused"
        assert ask.notes[1].startswith("network: cannot connect to nowhere.invalid:443: ")
        assert len(ask.notes) == 2


async def test_what_went_wrong_is_told_even_if_the_attempt_ends_at_once(sandbox, actor):
    confined = await sandbox.launch(actor.spec("evaluate", network=("nowhere.invalid:443",)))
    notes = []
    confined.watch_network(notes.append)
    await confined.send({"eval": "error_of(lambda: open_to('nowhere.invalid', 443).recv(1)) and os._exit(0)"})
    await actor.finish(confined)

    assert [note.split(":")[:2] for note in notes] == [["network", " cannot connect to nowhere.invalid"]]


async def test_a_reset_by_the_server_is_a_reset_to_the_task(granted):
    async def break_off(reader, writer):
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with served(break_off) as port:
        ask = await granted(f"localhost:{port}")

        answer = await ask(
            f"(lambda s: (s.sendall(bytes(1 << 16)), s.makefile('rb').read()))(open_to('localhost', {port}))"
        )
        assert answer.errno in (errno.ECONNRESET, errno.EPIPE)


async def test_much_passes_whole_in_both_directions_at_once(granted):
    async def echo_at_once(reader, writer):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()

    async with served(echo_at_once) as port:
        ask = await granted(f"localhost:{port}")

        assert await ask(f"echo_much('localhost', {port}, {8 << 20})") is True


async def test_a_flood_that_nobody_reads_fills_no_memory_and_delays_nobody(granted, sandbox):
    async with served(silent) as deaf, served(echo) as port:
        flooding, other = await granted(f"localhost:{deaf}"), await granted(f"localhost:{port}")

        sent = await flooding(f"flood_to('localhost', {deaf}, {FLOOD_BYTES})")
        assert 0 < sent < FLOOD_BYTES / 2
        assert await other(say("localhost", port)) == "you said hello"
        assert relay_of(sandbox).memory_info().rss < FLOOD_BYTES


async def test_of_too_many_connections_the_further_ones_wait(granted):
    connected = []

    async def hold(reader, writer):
        connected.append(writer)
        await reader.read()

    async with served(hold) as port, served(echo) as echoing:
        ask, other = await granted(f"localhost:{port}", f"localhost:{echoing}"), await granted(f"localhost:{echoing}")
        assert await ask(f"keep([open_to('localhost', {port}) for _ in range(70)])") is True

        await eventually_async(lambda: ask.notes)
        assert ask.notes == ["network: 64 connections are open, which is the most; further ones wait"]
        assert await other(say("localhost", echoing)) == "you said hello"
        assert len(connected) == 64
        assert await ask("kept.clear()") is None
        assert await ask(say("localhost", echoing)) == "you said hello"


async def test_with_an_attempt_all_of_its_connections_end(sandbox, actor):
    held, broken = asyncio.Queue(), asyncio.Event()

    async def hold(reader, _):
        held.put_nowait(reader)
        try:
            await reader.read()
        finally:
            broken.set()

    async with served(hold) as port, asyncio.timeout(20):
        hosts = (f"localhost:{port}", "192.0.2.1:25")
        sibling, confined = [await sandbox.launch(actor.spec("evaluate", network=hosts)) for _ in range(2)]
        await actor.Inside(sibling)(f"keep(open_to('localhost', {port}))")
        await held.get()
        relay = relay_of(sandbox)
        is_root = os.geteuid() == 0  # others may not look: the relay is shielded
        before = relay.num_fds() if is_root else 0
        await actor.Inside(confined)(f"keep(open_to('localhost', {port}))")
        await held.get()

        confined.kill()
        await actor.finish(confined)
        await broken.wait()
        # Its two listeners are gone too, and the end on which the relay heard of it.
        await eventually_async(lambda: not is_root or relay.num_fds() == before - 3)
        sibling.kill()
        await actor.finish(sibling)


async def test_a_connection_in_which_nobody_reads_ends_with_its_attempt_too(granted):
    connected = asyncio.Queue()

    async def hold(reader, writer):
        connected.put_nowait(writer.get_extra_info("socket"))
        await silent(reader, writer)

    async with served(hold) as port:
        ask = await granted(f"localhost:{port}")
        await ask(f"flood_to('localhost', {port}, {FLOOD_BYTES})")
        server_side = await connected.get()

        ask.confined.kill()
        await ask.confined.wait()
        await eventually_async(lambda: server_side.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET)


async def test_a_relay_that_died_is_told_and_replaced(granted, sandbox):
    async with served(echo) as port:
        ask = await granted(f"localhost:{port}")
        relay_of(sandbox).kill()

        await eventually_async(lambda: ask.notes == ["network: the relay has died, and with it every connection"])
        assert (await ask(f"connect('localhost', {port})")).errno == errno.ECONNREFUSED
        assert await (await granted(f"localhost:{port}"))(say("localhost", port)) == "you said hello"
        ask.confined.kill()
        await ask.confined.wait()
        assert len(ask.notes) == 1


async def test_a_relay_that_is_stopped_holds_up_no_other_attempt(granted, sandbox, actor):
    async with served(echo) as port:
        ask = await granted(f"localhost:{port}")
        relay = relay_of(sandbox)
        relay.send_signal(signal.SIGSTOP)
        try:
            ended = await actor.finish(await sandbox.launch(actor.spec("nothing")))
        finally:
            relay.send_signal(signal.SIGCONT)

        assert ended.outcome.exit_code == 0
        assert await ask(say("localhost", port)) == "you said hello"


async def test_a_sandbox_by_itself_grants_hosts_too(tmp_path):
    async with served(saying(b"welcome")) as port, Sandbox(lock_file=tmp_path / "lock") as sandbox:
        completed = await sandbox.call(f"{INSIDE}/actor.py:ask_for", port, network=(f"localhost:{port}",))

        assert completed.value == "welcome"


async def test_the_hosts_file_holds_the_names_that_are_granted(granted):
    ask = await granted("db:5432", "DB:5433", "10.0.0.5:5432", "127.64.0.1:80", "mail.example.com:25")

    assert await ask("Path('/etc/hosts').read_text()") == (
        "127.0.0.1 localhost\n::1 localhost\n127.64.0.2 db\n127.64.0.3 mail.example.com\n"
    )
    assert (await ask("write('/etc/hosts')")).errno == errno.EROFS
    assert not Path("/etc/hosts").read_text().count("127.64.0.2")
