"""Inits, which serve one attempt after another: nothing of one is left for the next, and nobody waits for them."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import psutil
import pytest

from sandbox import LauncherError, Mount, SetupError
from support.leftovers import look, settled
from support.waiting import eventually_async
from support.warm import importing, is_warm, launcher, named, need_zygotes, supervisors, zygotes

_INIT = "os.readlink('/proc/self/ns/pid')"


@pytest.fixture(autouse=True)
def zygotes_can_be_had(tmp_path):
    need_zygotes(tmp_path)


@pytest.fixture
async def spec(sandbox, actor):
    """Of attempts that are warm, and answer questions."""
    spec = importing(actor.spec("nothing"), "import sys, socket\nmodule = sys.modules[__name__]\nx = []")
    assert await sandbox.warm_up(spec) == ""
    return spec


def inits(sandbox):
    """Their processes."""
    return [child for supervisor in supervisors(sandbox) for child in named(supervisor.children(), "isolane-init")]


async def end(actor, ask):
    ask.confined.kill()
    return await actor.finish(ask.confined)


async def warm(sandbox, actor, spec):
    confined = await sandbox.launch(spec)
    assert is_warm(confined)
    return actor.Inside(confined)


async def next_in(init, sandbox, actor, spec):
    """The next attempt in this init; those that come up in others, while it is cleared, are ended."""
    async with asyncio.timeout(20):
        while True:
            ask = await warm(sandbox, actor, spec)
            if await ask(_INIT) == init:
                return ask
            await end(actor, ask)


_DAEMON = "subprocess.run(['/bin/sh', '-c', '/usr/bin/setsid /bin/sleep 600 &']).returncode"

LEFT = {
    "a daemon": (_DAEMON, "len(visible_pids())", 2),
    "files in /tmp": ("write('/tmp/left')", "os.path.exists('/tmp/left')", False),
    "files in /dev/shm": ("write('/dev/shm/left')", "os.listdir('/dev/shm')", []),
    "rights of /tmp": ("os.chmod('/tmp', 0o500)", "oct(os.stat('/tmp').st_mode & 0o7777)", "0o1777"),
    "dates of /tmp": ("os.utime('/tmp', (7, 7))", "os.stat('/tmp').st_mtime == 7", False),
    "that it read /dev/shm": (
        "os.listdir('/dev/shm')",
        "(lambda found: found.st_atime_ns > found.st_ctime_ns)(os.stat('/dev/shm'))",
        False,
    ),
    "a file that only a socket holds": (
        (
            "keep(socket.socketpair()) and write('/tmp/left')"
            " and socket.send_fds(kept[0][0], [b'x'], [kept[0][1].fileno(), os.open('/tmp/left', os.O_RDONLY)])"
        ),
        "os.path.exists('/tmp/left')",
        False,
    ),
    "an abstract socket": (
        "keep(socket.socket(socket.AF_UNIX)) and kept[0].bind('\\0left') or kept[0].listen()",
        "socket.socket(socket.AF_UNIX).connect_ex('\\0left')",
        111,  # refused
    ),
    "System V shared memory": (
        "ctypes.CDLL(None).shmget(0x1507A6E, 4096, 0o1666) >= 0",
        "ctypes.CDLL(None).shmget(0x1507A6E, 4096, 0o666)",
        -1,
    ),
    "a POSIX message queue": (
        "ctypes.CDLL('librt.so.1').mq_open(b'/left', 0o102, 0o666, None) >= 0",
        "ctypes.CDLL('librt.so.1').mq_open(b'/left', 0)",
        -1,
    ),
    "memory of its module": ("module.x.append(1)", "module.x", []),
}


@pytest.mark.parametrize("what", LEFT)
async def test_what_an_attempt_leaves_is_gone_for_the_next_in_its_init(sandbox, actor, spec, what):
    do, look, expected = LEFT[what]
    ask = await warm(sandbox, actor, spec)
    init = await ask(_INIT)
    assert not isinstance(await ask(do), OSError)

    await end(actor, ask)

    successor = await next_in(init, sandbox, actor, spec)
    assert await successor(look) == expected
    await end(actor, successor)


_CHANGED = "os.stat('/tmp').st_ctime_ns"


async def test_scratch_space_serves_again_until_an_attempt_changes_something_in_it(sandbox, actor, spec):
    ask = await warm(sandbox, actor, spec)
    init, made, before = await ask(_INIT), await ask(_CHANGED), None
    for _ in range(50):  # on a kernel before 6.13 it takes luck: see `untouched`
        await end(actor, ask)
        ask = await next_in(init, sandbox, actor, spec)
        before, made = made, await ask(_CHANGED)
        if made == before:
            break
    assert made == before

    await ask("os.utime('/dev/shm', ns=(os.stat('/dev/shm').st_atime_ns, os.stat('/dev/shm').st_mtime_ns))")
    await end(actor, ask)

    ask = await next_in(init, sandbox, actor, spec)
    assert await ask(_CHANGED) != made
    await end(actor, ask)


async def test_what_is_left_beside_a_mount_in_scratch_space_is_gone(sandbox, actor, tmp_path):
    shown = Mount(source=str(tmp_path), target="/tmp/deep/er/shown")
    spec = importing(dataclasses.replace(actor.spec("nothing"), mounts=(*actor.spec("nothing").mounts, shown)), "")
    assert await sandbox.warm_up(spec) == ""
    ask = await warm(sandbox, actor, spec)
    init = await ask(_INIT)
    assert await ask("write('/tmp/deep/left')")

    await end(actor, ask)

    ask = await next_in(init, sandbox, actor, spec)
    assert await ask("os.listdir('/tmp/deep')") == ["er"]
    await end(actor, ask)


async def test_when_an_attempt_is_over_all_that_it_started_is_dead(sandbox, actor, spec):
    ask = await warm(sandbox, actor, spec)
    for _ in range(5):
        assert await ask(_DAEMON) == 0
    daemons = [child for init in inits(sandbox) for child in init.children()]
    assert len(daemons) == 5
    below = [psutil.Process(ask.confined.pid), *daemons]

    await end(actor, ask)

    assert not any(each.is_running() for each in below)


async def test_attempts_in_a_row_take_no_more_inits_than_two(sandbox, actor, spec):
    used = set()
    for _ in range(20):
        ask = await warm(sandbox, actor, spec)
        used.add(await ask(_INIT))
        await end(actor, ask)

    assert len(used) <= 2
    assert len(inits(sandbox)) <= 2


async def test_attempts_in_a_row_leave_no_descriptor_in_what_is_kept_for_them(sandbox, actor, spec):
    counts = []
    for _ in range(3):
        for _ in range(10):
            await end(actor, await warm(sandbox, actor, spec))
        await settled(sandbox)
        counts.append(look(sandbox).counts())

    assert counts[1] == counts[2]


async def test_after_many_at_once_few_inits_are_kept(sandbox, actor, spec, monkeypatch):
    monkeypatch.setattr("sandbox.host.warm.standby_pool._KEEP_S", 0.1)
    many = await asyncio.gather(*(warm(sandbox, actor, spec) for _ in range(20)))

    await asyncio.gather(*(end(actor, ask) for ask in many))

    await eventually_async(lambda: len(inits(sandbox)) == 1)
    await end(actor, await warm(sandbox, actor, spec))


async def test_while_crowds_come_no_init_is_made_anew(sandbox, actor, spec, monkeypatch):
    monkeypatch.setattr("sandbox.host.warm.standby_pool._KEEP_S", 60)
    used = set()
    for _ in range(5):
        crowd = await asyncio.gather(*(warm(sandbox, actor, spec) for _ in range(4)))
        used |= {await ask(_INIT) for ask in crowd}
        await asyncio.gather(*(end(actor, ask) for ask in crowd))

    assert len(used) <= 5


async def test_attempts_that_come_in_crowds_are_all_warm(sandbox, actor, spec):
    async def come_and_go():
        await end(actor, await warm(sandbox, actor, spec))

    for crowd in (1, 12, 3, 8, 1, 8, 8):
        await asyncio.gather(*(come_and_go() for _ in range(crowd)))


async def test_a_network_that_was_granted_hosts_serves_only_once(sandbox, actor):
    granted = dataclasses.replace(importing(actor.spec("nothing"), ""), network=("localhost:9",))
    assert await sandbox.warm_up(granted) == ""
    networks = set()
    for _ in range(5):
        ask = await warm(sandbox, actor, granted)
        networks.add(await ask("os.readlink('/proc/self/ns/net')"))
        await end(actor, ask)

    assert len(networks) == 5


async def test_a_killed_init_ends_its_attempt_and_the_next_launch_works(sandbox, actor, spec):
    ask = await warm(sandbox, actor, spec)
    first = psutil.Process(ask.confined.pid)

    for init in inits(sandbox):
        init.kill()

    with pytest.raises(LauncherError):
        await actor.finish(ask.confined)
    assert not first.is_running()
    confined = await sandbox.launch(spec)
    assert await actor.Inside(confined)("6 * 7") == 42
    await end(actor, actor.Inside(confined))


async def test_a_stopped_init_keeps_no_attempt_from_ending(sandbox, actor, spec, monkeypatch):
    monkeypatch.setattr("sandbox.host.confined._REAP_PATIENCE_S", 0.5)
    ask = await warm(sandbox, actor, spec)
    first = psutil.Process(ask.confined.pid)

    for init in inits(sandbox):
        init.suspend()

    assert (await end(actor, ask)).outcome.exit_code is None
    assert not first.is_running()
    await eventually_async(lambda: not supervisors(sandbox))


async def test_a_killed_spare_init_is_replaced(sandbox, actor, spec):
    for init in await eventually_async(lambda: inits(sandbox)):
        init.kill()
    await eventually_async(lambda: not inits(sandbox))

    for _ in range(3):
        confined = await sandbox.launch(spec)
        assert await actor.Inside(confined)("6 * 7") == 42
        await end(actor, actor.Inside(confined))
    assert len(zygotes(sandbox)) <= 1
    assert launcher(sandbox).is_running()


async def test_an_attempt_that_has_its_init_does_not_mind_that_no_other_can_be_asked_for(
    sandbox, actor, spec, monkeypatch
):
    [zygote] = sandbox._zygotes._known.values()
    await eventually_async(lambda: zygote.standbys._spare)

    async def fail(*_):
        raise LauncherError("the zygote has ended")

    monkeypatch.setattr(zygote.standbys.line, "send", fail)
    ask = await warm(sandbox, actor, spec)

    assert await ask("6 * 7") == 42
    await end(actor, ask)


async def test_what_could_not_be_had_for_an_standby_ahead_is_had_when_it_is_needed(sandbox, actor, spec, monkeypatch):
    [zygote] = sandbox._zygotes._known.values()
    await eventually_async(lambda: zygote.standbys._spare)
    provide, refused = zygote.standbys.provide, []

    def refuse():
        refused.append(True)
        raise SetupError("sockets and pipes", "Too many open files")

    monkeypatch.setattr(zygote.standbys, "provide", refuse)
    ask = await warm(sandbox, actor, spec)
    await end(actor, ask)
    await eventually_async(lambda: refused)
    monkeypatch.setattr(zygote.standbys, "provide", provide)

    for _ in range(3):
        ask = await warm(sandbox, actor, spec)
        assert await ask("6 * 7") == 42
        await end(actor, ask)


async def test_an_standby_has_moved_in_before_it_is_needed(sandbox, actor, spec):
    def cgroups(process):
        return Path(f"/proc/{process.pid}/cgroup").read_text()

    [zygote] = zygotes(sandbox)
    await eventually_async(zygote.children)
    [standby] = zygote.children()

    await eventually_async(lambda: cgroups(standby) != cgroups(zygote))
