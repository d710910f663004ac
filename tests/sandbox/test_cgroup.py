"""Groups are used again, and nothing of an earlier attempt shows in the outcome of a later one.

All of it for root, and for an ordinary user in a cgroup that root gave it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from pathlib import Path

import pytest

from sandbox import Limits, Mount, doctor
from sandbox.host.cgroups import cgroup
from support.waiting import eventually

MEMORY = 64 << 20


@pytest.fixture
def groups(tmp_path, who):
    found = cgroup.find(tmp_path / "lock")
    if found is None:
        pytest.skip("no cgroup can be had here")
    yield found
    found.sweep()
    found.close()


@pytest.fixture
async def limited(sandbox, actor, tmp_path, who):
    """A sandbox with cgroups, and what one attempt after another in it comes to."""
    if not actor.cgroups(tmp_path / "lock"):
        pytest.skip("no cgroup can be had here")

    async def attempt(entry="nothing", ask="", limits=None, **options):
        limits = limits or Limits(memory_bytes=MEMORY, disk_bytes=48 << 20, processes=20)
        confined = await sandbox.launch(actor.spec(entry, limits=limits, **options))
        if ask:
            await confined.send({"eval": ask})
            await confined.receive()
            confined.kill()
        return await actor.finish(confined)

    return attempt


def names(groups_of_lock):
    return {path.name for folder in groups_of_lock for path in folder.iterdir() if path.is_dir()}


def test_a_group_is_used_again(groups):
    first = groups.create(Limits())
    place = where(first)
    first.remove()
    peak = place.parent / "memory.peak"
    if peak.exists() and not peak.stat().st_mode & 0o222:
        pytest.skip("this kernel (version 2 before Linux 6.12) cannot forget a peak, so groups serve once")

    second = groups.create(Limits(memory_bytes=MEMORY, processes=7, cpus=0.5))

    assert where(second) == place
    second.remove()


def test_what_is_found_can_be_used_also_where_a_folder_of_that_name_is_another_s(groups, actor, tmp_path):
    folders = actor.cgroups(tmp_path / "lock")
    assert folders
    for folder in folders:
        folder.chmod(0o555)  # as root's is to an ordinary user

    found = cgroup.find(tmp_path / "lock")
    if found is not None:
        found.create(Limits()).remove()
        found.close()

    for folder in filter(Path.exists, folders):
        folder.chmod(0o755)


def test_two_attempts_at_once_have_two_groups(groups):
    first, second = groups.create(Limits()), groups.create(Limits())

    assert where(first) != where(second)
    first.remove()
    second.remove()


def test_a_group_in_which_something_lives_is_not_used_again(groups):
    first = groups.create(Limits())
    with inhabitant(first):
        place = where(first)
        first.remove()

        second = groups.create(Limits())

        assert where(second) != place
    second.remove()


def where(group):
    return Path(f"/proc/self/fd/{group.procs[0]}").readlink()


@contextlib.contextmanager
def inhabitant(group, holding_bytes=0):
    """A process in it, by its pid."""
    near, far = socket.socketpair()
    child = os.fork()
    if child == 0:
        for joined in group.procs:
            os.write(joined, b"0")
        held = bytearray(holding_bytes)
        far.send(b"joined")
        signal.pause()
        os._exit(len(held) and 1)
    with near, far:
        assert near.recv(16) == b"joined"
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def test_a_limit_below_what_is_in_use_is_refused_and_kills_nothing(groups):
    group = groups.create(Limits(memory_bytes=MEMORY))
    with inhabitant(group, MEMORY // 2) as child:
        with pytest.raises(OSError):
            group.limit_memory(MEMORY // 8)
        group.limit_memory(MEMORY)

        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        assert group.kills() == 0
    group.remove()


def test_the_alarm_is_given_for_each_kill_and_not_taken_away_by_a_look(groups):
    group = groups.create(Limits(memory_bytes=MEMORY))
    assert not is_alarmed(group)
    for _ in range(2):
        before = group.kills()
        child = os.fork()
        if child == 0:
            for joined in group.procs:
                os.write(joined, b"0")
            os._exit(len(bytearray(2 * MEMORY)) and 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        eventually(lambda before=before: group.kills() > before)

        eventually(lambda: is_alarmed(group))
        # The kernel may hold a notice back for some milliseconds, and so give one more for the same.
        eventually(lambda: group.clear_alarm() or not is_alarmed(group))
    group.remove()


def is_alarmed(group):
    return bool(select.select([group.alarm], [], [], 0)[0])


def test_a_group_takes_none_of_the_inotify_instances_of_its_user(groups):
    group = groups.create(Limits())

    opened = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]

    assert not [path for path in opened if "inotify" in path]
    group.remove()


def test_all_in_a_group_is_killed_and_nothing_forked_in_it(groups):
    group = groups.create(Limits(processes=20))
    with inhabitant(group) as first, inhabitant(group) as second:
        group.kill()

        for child in (first, second):
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert group.processes() == 0
    group.remove()


def test_a_notice_that_nobody_took_does_not_alarm_the_next(groups):
    if "v1" not in groups.description:
        pytest.skip("only version 1 has a notice that can be given by hand")
    first = groups.create(Limits())
    os.eventfd_write(first.alarm, 1)
    first.remove()

    second = groups.create(Limits())

    with pytest.raises(BlockingIOError):
        os.eventfd_read(second.alarm)
    second.remove()


def test_the_doctor_finds_the_limits_standing(groups):
    limits = {finding.name: finding.stands for finding in doctor._limits()}

    assert limits["memory"]
    assert limits["processes"]


async def test_a_kill_for_memory_does_not_count_against_the_next(limited):
    killed = await limited("bomb_memory")
    after = await limited()

    assert killed.outcome.memory_kills > 0
    assert after.outcome.memory_kills == 0
    assert after.outcome.exit_code == 0
    assert after.outcome.peak_memory_bytes < killed.outcome.peak_memory_bytes / 2


async def test_peak_and_cpu_time_begin_anew(limited):
    large = await limited("evaluate", ask="(fill('/tmp/big', 40 << 20), spin(0.3))")
    after = await limited()

    assert large.outcome.peak_memory_bytes > 40 << 20
    assert large.outcome.cpu_time_s >= 0.3
    assert after.outcome.peak_memory_bytes < 20 << 20
    assert after.outcome.cpu_time_s < large.outcome.cpu_time_s


async def test_memory_that_stayed_behind_does_not_count_against_the_next(limited, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    mounts = (Mount(source=str(shared), target="/shared", writable=True),)

    large = await limited("evaluate", ask="fill('/shared/big', 40 << 20)", mounts=mounts)
    after = await limited()

    assert large.outcome.peak_memory_bytes > 40 << 20
    assert after.outcome.peak_memory_bytes < 20 << 20


async def test_each_attempt_has_its_own_limits(limited, actor, tmp_path):
    await limited(limits=Limits(memory_bytes=256 << 20, processes=100, cpus=0.1))
    before = names(actor.cgroups(tmp_path / "lock"))

    memory = await limited("bomb_memory")
    forks = await limited("bomb_processes")
    wider = await limited("evaluate", ask="bytearray(100 << 20) and None", limits=Limits(memory_bytes=256 << 20))

    assert memory.outcome.memory_kills > 0
    assert memory.outcome.peak_memory_bytes <= MEMORY
    assert forks.frames[0]["made"] <= 20
    assert wider.outcome.memory_kills == 0
    assert wider.outcome.peak_memory_bytes > 100 << 20
    assert len(names(actor.cgroups(tmp_path / "lock")) | before) <= 3
