"""Rows 78, 79 and 88 of the attack table: what the kernel counts by user, and memory that no process's size shows."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import sandbox as package
from sandbox import Level, Limits, SetupError
from sandbox.kernel.identity import HostUsers

LIBC = ctypes.CDLL("librt.so.1", use_errno=True)

#: A runner that may open no more than 512 descriptors, and what becomes of others while one attempt sends all it can.
FEW_DESCRIPTORS = """
import asyncio, resource, sys
from pathlib import Path

resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
from sandbox import Mount, Sandbox, Spec

async def main():
    code = Mount(source=sys.argv[2], target="/code")
    spec = lambda entry: Spec(entry=entry, mounts=(code,), path=("/code",))
    sandbox = Sandbox(lock_file=Path(sys.argv[1]) / "lock")
    await sandbox.start()
    evil = await sandbox.launch(spec("actor:evaluate"))
    await evil.send({"eval": "__import__('quotas').fill_flight()"})
    print((await evil.receive())["value"])
    for _ in range(3):
        other = await sandbox.launch(spec("actor:nothing"))
        print((await other.wait()).exit_code)
    await evil.send({"eval": "'alive'"})
    print((await evil.receive())["value"])
    evil.kill()
    await evil.wait()
    await sandbox.close()

asyncio.run(main())
"""


async def test_78_descriptors_on_their_way_do_not_stop_the_runner(arena, actor):
    confined = await arena.launch("attacks:evaluate")
    evil = actor.Inside(confined)
    assert await evil("__import__('quotas').fill_flight()") == repr("ETOOMANYREFS")

    for entry in ("actor:nothing", "attacks:nothing"):
        other = await arena.launch(entry)
        assert (await actor.finish(other)).outcome.exit_code == 0

    assert await evil("1") == "1"
    confined.kill()
    await actor.finish(confined)


@pytest.mark.usefixtures("who")
def test_78_nor_where_the_runner_may_have_no_more_than_they(tmp_path, actor):
    done = subprocess.run(
        [sys.executable, "-c", FEW_DESCRIPTORS, str(tmp_path), str(actor.path)],
        env={"PYTHONPATH": str(Path(package.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.split() == ["ETOOMANYREFS", "0", "0", "0", "alive"], done.stderr


@pytest.fixture
def crowd():
    """More descriptors of this user on their way than this process may have open, until it is closed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    near, far = socket.socketpair()
    with near, far:
        for _ in range(2):
            socket.send_fds(near, [b"x"], [0] * 250)
        yield far
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_78_not_now_is_waited_for(who, sandbox, actor, crowd):
    launching = asyncio.create_task(sandbox.launch(actor.spec("nothing")))
    done, _ = await asyncio.wait([launching], timeout=0.2 if who == "user" else None)
    assert not done or who == "root", "the kernel exempts root, and no one else"

    crowd.close()

    assert (await actor.finish(await launching)).outcome.exit_code == 0


async def test_78_and_who_waits_in_vain_takes_no_other_along(who, sandbox, actor, inside, request, monkeypatch):
    monkeypatch.setattr("sandbox.host.links.line.CROWDED_PATIENCE_S", 0.05)
    request.getfixturevalue("crowd")

    with pytest.raises(SetupError, match="on their way") if who == "user" else contextlib.nullcontext():
        await actor.finish(await sandbox.launch(actor.spec("nothing")))

    assert await inside("1") == 1


HOARDS = {
    "sockets": "hoard_sockets(400)",
    "pipes": "hoard_pipes(2000)",
    "shared memory": "hoard_shared_memory(256 << 20)",
    "page tables": "hoard_page_tables(256 << 20)",
    "memory": "held.append(b'x' * (256 << 20))",
}
REFUSED = (
    "os.memfd_create('x')",
    "call('shmget', 0, 1 << 20, 0o1600)",
    "call('semget', 0, 1000, 0o1600)",
    "call('msgget', 0, 0o1600)",
    "call('vmsplice', 1, None, 0, 0)",
    "call('landlock_create_ruleset', bytes(8) + bytes([3]) + bytes(7), 16, 0)",
)


@pytest.mark.parametrize("hidden", [False, True], ids=["seen", "hidden"])
@pytest.mark.parametrize("hoard", HOARDS)
async def test_79_memory_that_no_process_shows_is_counted(uncounted, actor, hoard, hidden):
    await is_killed_for(f"quotas.{HOARDS[hoard]}", uncounted, actor, hidden=hidden)


@pytest.mark.parametrize("uncounted", [Level.FULL], ids=str, indirect=True)
async def test_79_sockets_that_nobody_has_open_are_counted_in_a_network_of_their_own(uncounted, actor):
    await is_killed_for("quotas.hoard_sockets_in_flight(400)", uncounted, actor)


async def is_killed_for(hoard, uncounted, actor, *, hidden=False):
    limits = Limits(memory_bytes=96 << 20, disk_bytes=4 << 20, processes=32, open_files=4096)
    confined = await uncounted.launch(actor.spec("evaluate", limits=limits))
    hide = "quotas.hide()" if hidden else "0"
    await confined.send({"eval": f"[quotas := __import__('quotas'), {hide}, {hoard}, time.sleep(60)]"})

    outcome = (await actor.finish(confined)).outcome

    assert outcome.memory_kills == 1
    assert outcome.peak_memory_bytes > 96 << 20
    assert outcome.cpu_time_s > 0


async def test_79_what_only_a_cgroup_counts_is_refused_without_one(uncounted, actor):
    confined = await uncounted.launch(actor.spec("evaluate"))
    inside = actor.Inside(confined)

    for attack in REFUSED:
        error = await inside(f"__import__('attacks').{attack}" if "call" in attack else attack)
        assert isinstance(error, OSError), attack
        assert error.errno is not None, attack
    confined.kill()
    await actor.finish(confined)


async def test_79_what_an_honest_task_uses_is_not_taken_for_a_hoard(uncounted, actor):
    limits = Limits(memory_bytes=96 << 20, disk_bytes=32 << 20, processes=32)
    confined = await uncounted.launch(actor.spec("evaluate", limits=limits))
    inside = actor.Inside(confined)

    assert await inside("[keep(socket.socketpair()) for _ in range(20)] and spin(0.2)") is None
    assert await inside("keep(__import__('mmap').mmap(-1, 16 << 20)) and fill('/proc/self/comm', 0)") is not None
    confined.terminate()
    outcome = (await actor.finish(confined)).outcome

    assert outcome.memory_kills == 0
    assert 5 << 20 < outcome.peak_memory_bytes < 96 << 20
    assert outcome.cpu_time_s >= 0.2


#: What it takes all of, and the most that it gets.
FILLED = {"fill_inotify()": 4, "fill_signals()": 1024, "fill_timers()": 1024}


@pytest.mark.parametrize("fill", FILLED)
async def test_88_what_is_counted_by_user_is_left_to_the_user(arena, actor, fill):
    confined = await arena.launch("attacks:evaluate")
    evil = actor.Inside(confined)

    assert 0 < int(await evil(f"__import__('quotas').{fill}")) <= FILLED[fill]

    watcher, timer = LIBC.inotify_init1(0), ctypes.c_void_p()
    assert watcher >= 0
    os.close(watcher)
    assert LIBC.timer_create(1, None, ctypes.byref(timer)) == 0
    assert LIBC.timer_delete(timer) == 0
    confined.kill()
    await actor.finish(confined)


def status_of(pid, key):
    """The first number of a line in its status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{key}:"))


async def test_88_two_runners_give_their_attempts_different_users(tmp_path, actor):
    if os.geteuid() != 0:
        pytest.skip("an ordinary user has one uid only")
    users = set()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one, other = [await actor.start(tmp_path / name, Level.FULL) for name in ("one", "other")]
    for sandbox in (one, other):
        for confined in [await sandbox.launch(actor.spec("sleep")) for _ in range(2)]:
            assert await confined.receive() == {}
            users.add(int(status_of(confined.pid, "Uid")))
            confined.kill()
            await actor.finish(confined)
    await one.close()
    await other.close()

    assert len(users) == 4
    assert min(users) >= 0x70000000


def test_88_a_range_of_users_is_claimed_once(monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("an ordinary user has one uid only")
    draws = iter([7, 7, 7, 8])
    monkeypatch.setattr("sandbox.kernel.identity._draw", lambda: next(draws))
    one, other = HostUsers(), HostUsers()

    assert other.of(0).uid - one.of(0).uid == 4096
    one.close()
    other.close()


@pytest.mark.usefixtures("who")
async def test_88_where_the_count_would_be_the_runners_nothing_is_taken_of_it(tmp_path, actor):
    sandbox = await actor.start(tmp_path, Level.RESTRICTED)
    confined = await sandbox.launch(actor.spec("evaluate"))
    inside = actor.Inside(confined)

    assert await inside("__import__('quotas').fill_inotify()") == 0
    assert await inside("__import__('quotas').fill_timers()") <= 1024
    confined.kill()
    await actor.finish(confined)
    await sandbox.close()
