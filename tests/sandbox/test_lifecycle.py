"""How confined processes end, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
import socket
from pathlib import Path

import pytest

from sandbox import LauncherError, Level, Limits, Mount, SetupError, Spec, WireError


def is_locked(path):
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


async def ends(sandbox, actor, entry, **options):
    return await actor.finish(await sandbox.launch(actor.spec(entry, **options)))


async def test_it_returns(sandbox_at_each_level, actor):
    ended = await ends(sandbox_at_each_level, actor, "nothing")

    assert (ended.outcome.exit_code, ended.outcome.signal) == (0, None)
    assert (ended.stdout, ended.stderr) == ("", "")
    assert ended.outcome.memory_kills == 0
    assert ended.outcome.peak_memory_bytes > 0
    assert ended.outcome.cpu_time_s > 0
    assert ended.outcome.wall_time_s > 0
    assert ended.outcome.walls == sandbox_at_each_level.walls


async def test_it_raises(sandbox_at_each_level, actor):
    ended = await ends(sandbox_at_each_level, actor, "raise_error")

    assert ended.outcome.exit_code == 1
    assert "ValueError: as it should" in ended.stderr
    assert "launcher" not in ended.stderr


async def test_it_cannot_be_imported(sandbox_at_each_level, actor):
    ended = await actor.finish(await sandbox_at_each_level.launch(Spec(entry="no_such_module:main")))

    assert ended.outcome.exit_code == 1
    assert "ModuleNotFoundError" in ended.stderr


@pytest.mark.parametrize(
    ("entry", "exit_code", "signalled"),
    [
        ("exit_with_three", 3, None),
        ("segfault", None, signal.SIGSEGV),
        ("kill_itself", None, signal.SIGKILL),
        ("leave_a_thread", 0, None),
    ],
)
async def test_it_ends_in_its_own_way(sandbox_at_each_level, actor, entry, exit_code, signalled):
    ended = await ends(sandbox_at_each_level, actor, entry)

    assert (ended.outcome.exit_code, ended.outcome.signal) == (exit_code, signalled)


@pytest.mark.parametrize("entry", ["sleep", "stop_itself", "ignore_sigterm"])
async def test_it_is_killed_whatever_it_does(sandbox_at_each_level, actor, entry):
    confined = await sandbox_at_each_level.launch(actor.spec(entry))
    assert await confined.receive() == {}

    confined.kill()
    confined.kill()
    ended = await actor.finish(confined)

    assert (ended.outcome.exit_code, ended.outcome.signal) == (None, None)
    assert ended.outcome.describe_exit() == "was killed with its supervisor"
    assert await confined.wait() is ended.outcome
    confined.kill()
    confined.terminate()


async def test_it_is_asked_to_end(sandbox_at_each_level, actor):
    confined = await sandbox_at_each_level.launch(actor.spec("sleep"))
    assert await confined.receive() == {}

    confined.terminate()

    assert (await actor.finish(confined)).outcome.signal == signal.SIGTERM


async def test_it_may_catch_the_request_to_end(sandbox_at_each_level, actor):
    confined = await sandbox_at_each_level.launch(actor.spec("ignore_sigterm"))
    assert await confined.receive() == {}

    confined.terminate()
    assert await confined.receive() == {"got": "SIGTERM"}
    confined.kill()
    await actor.finish(confined)


@pytest.mark.parametrize("killed", [False, True])
async def test_a_daemon_that_forked_twice_is_dead_when_it_has_ended(sandbox_at_each_level, actor, tmp_path, killed):
    mounts = (Mount(source=str(tmp_path), target=str(tmp_path), writable=True),)
    confined = await sandbox_at_each_level.launch(
        actor.spec("leave_a_daemon", mounts=mounts, environment={"WORK": str(tmp_path)})
    )
    assert await confined.receive() == {}
    if killed:
        confined.kill()

    await actor.finish(confined)

    assert not is_locked(tmp_path / "daemon.lock")


async def test_a_fork_bomb_is_bounded(sandbox, actor):
    ended = await ends(sandbox, actor, "bomb_processes", limits=Limits(memory_bytes=256 << 20, processes=20))

    (frame,) = ended.frames
    assert frame["made"] <= 20
    assert frame["errno"] == errno.EAGAIN


async def test_frames_are_exchanged(sandbox_at_each_level, actor):
    confined = await sandbox_at_each_level.launch(actor.spec("echo"))
    big = {"text": "å" * (4 << 20), "list": list(range(1000))}

    async with asyncio.timeout(20):
        for frame in ({}, big, {"after": None}):
            _, received = await asyncio.gather(confined.send(frame), confined.receive())
            assert received == frame

    confined.kill()
    await actor.finish(confined)
    with pytest.raises(ConnectionError):
        await confined.send({})


@pytest.mark.parametrize("entry", ["send_garbage", "send_oversize", "send_half_a_frame"])
async def test_what_is_no_frame_is_a_wire_error(sandbox, actor, entry):
    confined = await sandbox.launch(actor.spec(entry))

    with pytest.raises(WireError):
        await confined.receive()
    confined.kill()
    await confined.wait()
    os.close(confined.stdout)
    os.close(confined.stderr)


async def test_what_was_sent_before_death_is_received_after_it(sandbox, actor):
    confined = await sandbox.launch(actor.spec("send_and_die"))
    await confined.wait()

    ended = await actor.finish(confined)

    assert ended.frames == [{"number": number} for number in range(100)]


async def test_a_flood_of_frames_that_nobody_reads_is_stopped_by_the_socket(sandbox, actor):
    confined = await sandbox.launch(actor.spec("flood"))
    ended = await actor.finish(confined)

    assert int(ended.stdout) < 4 << 20


async def test_a_cancelled_receive_loses_nothing(sandbox, actor):
    confined = await sandbox.launch(actor.spec("echo"))

    for number in range(200):
        await confined.send({"number": number})
        receiving = asyncio.create_task(confined.receive())
        await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        assert receiving.cancelled() or receiving.result() == {"number": number}
        if receiving.cancelled():
            assert await confined.receive() == {"number": number}

    confined.kill()
    await actor.finish(confined)


async def test_launches_run_side_by_side(sandbox, actor):
    async def launch_one(number):
        confined = await sandbox.launch(actor.spec("echo"))
        await confined.send({"number": number})
        assert await confined.receive() == {"number": number}
        confined.kill()
        await actor.finish(confined)

    await asyncio.gather(*(launch_one(number) for number in range(20)))


async def test_a_cancelled_launch_leaves_nothing(sandbox, actor):
    for pause in range(8):
        launching = asyncio.create_task(sandbox.launch(actor.spec("sleep")))
        for _ in range(pause):
            await asyncio.sleep(0)
        launching.cancel()
        await asyncio.gather(launching, return_exceptions=True)

    await sandbox.close()  # the fixture looks at what is left


async def test_a_refused_launch_harms_no_other(sandbox, actor, tmp_path):
    other = await sandbox.launch(actor.spec("echo"))

    for _ in range(20):
        with pytest.raises(SetupError):
            await sandbox.launch(actor.spec("nothing", mounts=(Mount(source=str(tmp_path / "no"), target="/x"),)))
    sandbox._link._line._socket.send(b"garbage")
    sandbox._link._line._socket.send(b'{"id": 1}')
    sandbox._link._line._socket.send(b"[" * 100_000)

    await other.send({"still": "here"})
    assert await other.receive() == {"still": "here"}
    other.kill()
    await actor.finish(other)
    assert (await ends(sandbox, actor, "nothing")).outcome.exit_code == 0


async def test_two_hundred_launches_leave_nothing(sandbox, actor, tmp_path):
    launcher = sandbox._link._process.pid

    def left():
        mounts = Path("/proc/self/mountinfo").read_text()
        children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text()
        files = Path(f"/proc/{launcher}/fd")
        return len(list(files.iterdir())) if os.geteuid() == 0 else 0, mounts, children

    def kept():
        groups = [path for folder in actor.cgroups(tmp_path / "lock") for path in folder.iterdir() if path.is_dir()]
        return len(groups), len(list(Path("/proc/self/fd").iterdir()))

    async def end_twenty():
        await asyncio.gather(*(ends(sandbox, actor, "nothing") for _ in range(20)))

    await end_twenty()
    left_before, (groups, descriptors) = left(), kept()
    for _ in range(10):
        await end_twenty()

    assert left() == left_before
    assert kept()[0] <= groups
    assert kept()[1] <= descriptors


async def test_closing_kills_what_runs_and_frees_the_lock(tmp_path, actor):
    sandbox = await actor.start(tmp_path, Level.FULL)
    confined = await sandbox.launch(actor.spec("sleep"))

    await sandbox.close()
    await sandbox.close()

    with pytest.raises(LauncherError, match="since its sandbox was closed"):
        await confined.wait()
    assert not is_locked(tmp_path / "lock")
    for pipe in (confined.stdout, confined.stderr):
        os.close(pipe)


async def test_a_sandbox_can_be_started_again(tmp_path, actor):
    sandbox = await actor.start(tmp_path, None)
    for _ in range(3):
        await sandbox.close()
        await sandbox.start()
        assert (await ends(sandbox, actor, "nothing")).outcome.exit_code == 0
    await sandbox.close()


async def test_the_strongest_level_is_found(tmp_path, actor):
    sandbox = await actor.start(tmp_path, None)
    assert sandbox.level is Level.FULL
    await sandbox.close()


async def test_a_lock_that_is_held_is_waited_for(tmp_path, actor):
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        starting = asyncio.create_task(actor.start(tmp_path, None))
        done, _ = await asyncio.wait([starting], timeout=0.3)
        assert not done
    await (await starting).close()


async def test_a_task_cannot_reach_the_launchers_or_supervisors_sockets(sandbox, actor):
    confined = await sandbox.launch(actor.spec("evaluate"))
    ask = actor.Inside(confined)

    assert await ask("Path('/proc/net/unix').read_text().count('@')") == 0
    assert (await ask("socket.socket(fileno=4)")).errno == errno.EBADF
    assert (await ask("os.open('/proc/1/fd/0', 0)")).errno == errno.EACCES
    confined.kill()
    await actor.finish(confined)


def test_a_datagram_of_any_size_is_no_launch():
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        from sandbox.protocol.messages import receive

        right.send(b"\xff\xfe")
        assert receive(left) == ({}, [])
        right.send(b"[1]")
        assert receive(left) == ({}, [])
        right.close()
        assert receive(left) is None


@pytest.mark.parametrize(
    "options",
    [
        {"entry": "os.system"},
        {"entry": "a:b", "name": "x/y"},
        {"entry": "a:b", "name": ""},
        {"entry": "a:b", "environment": {"A=B": ""}},
        {"entry": "a:b", "environment": {"A": "\0"}},
    ],
)
def test_a_spec_that_can_never_run_is_refused(options):
    with pytest.raises(ValueError, match=r"entry|name|environment"):
        Spec(**options)
