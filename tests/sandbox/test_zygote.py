"""What attempts of one zygote share, which is nothing that any of them can write, and how zygotes come and go."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import sandbox as package
from sandbox import LauncherError, Lease, Sandbox
from sandbox.protocol.lease import boot_clock_ns
from support.waiting import eventually, eventually_async
from support.warm import importing, is_alive, is_warm, launcher, need_zygotes, run, supervisors, zygotes

SECOND = 10**9


@pytest.fixture(autouse=True)
def zygotes_can_be_had(tmp_path):
    need_zygotes(tmp_path)


@pytest.fixture
def warm(sandbox, actor):
    """Launches warm attempts to ask, and ends them."""
    launched = []

    async def launch(code="", **options):
        spec = importing(actor.spec("nothing", **options), code)
        assert await sandbox.warm_up(spec) == ""
        confined = await sandbox.launch(spec)
        assert is_warm(confined)
        launched.append(confined)
        return actor.Inside(confined)

    return launch


async def end(actor, *asked):
    for each in asked:
        each.confined.kill()
        await actor.finish(each.confined)


# --- what they share -------------------------------------------------------------------------------------------------

SEPARATE = {
    "memory": ("vars(module)['x'].append(1) or module.x", "module.x", []),
    "state of other modules": ("setattr(socket, 'socket', None)", "socket.socket is None", False),
    "environment": ("os.environ.update(LEFT='x')", "os.environ.get('LEFT')", None),
    "files in /tmp": ("write('/tmp/left')", "os.path.exists('/tmp/left')", False),
    "files in /dev/shm": ("write('/dev/shm/left')", "os.path.exists('/dev/shm/left')", False),
    "abstract sockets": (
        "keep(socket.socket(socket.AF_UNIX)) and kept[0].bind('\\0left') or kept[0].listen()",
        "socket.socket(socket.AF_UNIX).connect_ex('\\0left')",
        111,  # refused
    ),
    "System V shared memory": (
        "ctypes.CDLL(None).shmget(0x1507A6E, 4096, 0o1666) >= 0",
        "ctypes.CDLL(None).shmget(0x1507A6E, 4096, 0o666)",
        -1,
    ),
    "System V message queues": (
        "ctypes.CDLL(None).msgget(0x1507A6E, 0o1666) >= 0",
        "ctypes.CDLL(None).msgget(0x1507A6E, 0o666)",
        -1,
    ),
    "System V semaphores": (
        "ctypes.CDLL(None).semget(0x1507A6E, 1, 0o1666) >= 0",
        "ctypes.CDLL(None).semget(0x1507A6E, 1, 0o666)",
        -1,
    ),
    "POSIX semaphores": (
        "bool(ctypes.CDLL('libpthread.so.0').sem_open(b'/left', 0o101, 0o666, 1))",
        "bool(ctypes.CDLL('libpthread.so.0').sem_open(b'/left', 0))",
        False,
    ),
    "processes": ("os.fork() or signal.pause()", "len(visible_pids())", 2),
    "the working directory": ("os.chdir('/usr')", "os.getcwd()", "/tmp"),
    "signals": ("signal.signal(signal.SIGTERM, signal.SIG_IGN) == 0", "signal.getsignal(signal.SIGTERM)", 0),
    "priorities": ("os.nice(5)", "os.nice(0)", 0),
    "open files": ("keep(open('/code/actor.py'))", "descriptors()", [0, 1, 2, 3]),
}


@pytest.mark.parametrize("what", SEPARATE)
async def test_attempts_of_one_zygote_share_nothing_that_they_write(warm, actor, what):
    do, look, expected = SEPARATE[what]
    code = "import sys, socket\nmodule = sys.modules[__name__]\nx = []"
    doer, sibling = await warm(code), await warm(code)

    assert not isinstance(await doer(do), OSError)

    assert await sibling(look) == expected
    later = await warm(code)
    assert await later(look) == expected
    await end(actor, doer)
    successor = await warm(code)
    assert await successor(look) == expected
    await end(actor, sibling, later, successor)


RANDOM = {
    "random": "random.random()",
    "os": "os.urandom(8).hex()",
    "secrets": "secrets.token_hex()",
    "uuid": "str(uuid.uuid4())",
    "OpenSSL": "ssl.RAND_bytes(8).hex()",
    "names of temporary files": "tempfile.mktemp()",
    "SystemRandom": "system.random()",
}


async def test_each_attempt_has_randomness_of_its_own(warm, actor):
    # All of it was in use before the fork, so that what is kept between calls was there to be inherited.
    code = (
        f"import os, random, secrets, ssl, tempfile, uuid\nsystem = random.SystemRandom()\n{'; '.join(RANDOM.values())}"
    )
    attempts = [await warm(code) for _ in range(3)]

    for name, expression in RANDOM.items():
        assert len({await ask(expression) for ask in attempts}) == 3, name
    await end(actor, *attempts)


async def test_attempts_of_one_zygote_are_alike_in_what_it_drew_itself(warm, actor):
    """Documented: what a module computed when it was imported, and the secret of hashes."""
    code = "import random, uuid\nown, identity = random.Random(), str(uuid.uuid4())"
    attempts = [await warm(code) for _ in range(2)]

    for same in ("own.random()", "identity", "hash('text')"):
        assert len({await ask(same) for ask in attempts}) == 1, same
    await end(actor, *attempts)


async def test_an_attempt_finds_itself_the_second_process_of_its_own_world(warm, actor):
    ask = await warm()
    pid = await ask("os.getpid()")

    assert await ask("[os.getppid(), os.getsid(0), os.getpgid(0)]") == [0, pid, pid]
    assert await ask("visible_pids()") == [1, pid]
    assert await ask("[os.getuid(), os.getgid()]") == [1000, 1000]
    assert await ask("[status('CapEff'), status('NoNewPrivs'), status('SigBlk')]") == ["0" * 16, "1", "0" * 16]
    await end(actor, ask)


async def test_its_zygote_had_another_pid_than_any_attempt(warm, actor):
    """Libraries tell by it that they were forked."""
    ask = await warm("import os\nborn_as = os.getpid()")

    assert await ask("born_as") != await ask("os.getpid()")
    await end(actor, ask)


async def test_fifty_attempts_at_once_come_from_one_zygote(sandbox, warm, actor):
    asked = await asyncio.gather(*(warm() for _ in range(50)))

    assert await asyncio.gather(*(ask("len(visible_pids())") for ask in asked)) == [2] * 50
    assert len(zygotes(sandbox)) == 1
    await asyncio.gather(*(end(actor, ask) for ask in asked))


# --- how they come and go --------------------------------------------------------------------------------------------


async def test_a_killed_zygote_ends_none_of_its_attempts_and_the_next_launch_works(sandbox, warm, actor):
    attempts = [await warm() for _ in range(3)]
    [zygote], [held] = zygotes(sandbox), sandbox._live.zygotes()

    zygote.kill()
    await eventually_async(lambda: held.fault)

    assert [await ask("6 * 7") for ask in attempts] == [42] * 3
    assert not await run(sandbox, actor, importing(actor.spec("nothing"), ""))
    assert await attempts[0]("os.fork() or os._exit(0)") is not None
    for ask in attempts[1:]:
        ask.confined.terminate()
        assert (await actor.finish(ask.confined)).outcome.memory_kills == 0
    assert await attempts[0]("6 * 7") == 42
    await end(actor, attempts[0])
    await eventually_async(lambda: not launcher(sandbox).children())


async def test_a_killed_supervisor_ends_its_attempts_at_once_and_the_next_launch_works(sandbox, warm, actor):
    attempts = [await warm() for _ in range(3)]
    neighbour = await sandbox.launch(actor.spec("echo"))
    [process] = supervisors(sandbox)

    process.kill()

    for ask in attempts:
        with pytest.raises(LauncherError, match="zygote"):
            await actor.finish(ask.confined)
    assert not await run(sandbox, actor, importing(actor.spec("nothing"), ""))
    await neighbour.send({"alive": True})
    assert await neighbour.receive() == {"alive": True}
    neighbour.kill()
    await actor.finish(neighbour)
    await eventually_async(lambda: not launcher(sandbox).children())


async def test_a_stopped_zygote_keeps_no_attempt_from_ending(sandbox, warm, actor, monkeypatch):
    monkeypatch.setattr("sandbox.host.confined._REAP_PATIENCE_S", 0.5)
    lasting = await warm()
    [zygote] = zygotes(sandbox)

    zygote.suspend()

    lasting.confined.kill()
    assert (await actor.finish(lasting.confined)).outcome.exit_code is None
    assert not await run(sandbox, actor, importing(actor.spec("nothing"), ""))
    await eventually_async(lambda: not launcher(sandbox).children())


async def test_with_the_launcher_dies_every_zygote_and_after_a_new_start_they_are_wanted_again(sandbox, warm, actor):
    ask = await warm()
    below = launcher(sandbox).children(recursive=True)
    assert len(below) >= 3  # the zygote supervisor, the zygote, the attempt; inits

    launcher(sandbox).kill()

    with pytest.raises(LauncherError):
        await actor.finish(ask.confined)
    with pytest.raises(LauncherError):
        await sandbox.launch(importing(actor.spec("nothing"), ""))
    await eventually_async(lambda: not any(is_alive(process) for process in below))
    await sandbox.close()
    await sandbox.start()
    await end(actor, await warm())


RUNNER = """
import asyncio, sys
from pathlib import Path
from sandbox import Mount, Sandbox, Spec, WarmUp

async def main(lock, inside):
    sandbox = Sandbox(lock_file=Path(lock))
    await sandbox.start()
    warm_up = WarmUp(entry="builtins:__import__", arguments=("actor",))
    mounts = (Mount(source=inside, target="/code"),)
    spec = Spec(entry="actor:sleep", mounts=mounts, path=("/code",), warm_up=warm_up)
    assert await sandbox.warm_up(spec) == ""
    confined = await sandbox.launch(spec)
    await confined.receive()
    print(sandbox._link._process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_killed_runner_leaves_no_zygote_and_no_lock(tmp_path, actor, number):
    root = str(Path(package.__file__).parent.parent)
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path / "lock"), str(actor.path)],
        env={"PYTHONPATH": root},
        stdout=subprocess.PIPE,
    )
    process = psutil.Process(int(await asyncio.to_thread(runner.stdout.readline)))
    below = process.children(recursive=True)
    assert len(below) >= 3

    runner.send_signal(number)
    runner.wait()
    runner.stdout.close()

    successor = Sandbox(lock_file=tmp_path / "lock")
    await successor.start()
    assert not any(is_alive(each) for each in below), "the lock was free before all were dead"
    await successor.close()


async def test_a_lease_that_is_over_ends_a_zygote_with_all_its_attempts(sandbox, actor):
    lease = Lease(boot_clock_ns() + 2 * SECOND)
    spec = importing(actor.spec("nothing"), "")
    assert await sandbox.warm_up(spec, lease) == ""
    attempts = [await sandbox.launch(spec, lease) for _ in range(3)]
    assert all(is_warm(each) for each in attempts)

    for each in attempts:
        assert (await actor.finish(each)).outcome.lease_over

    assert boot_clock_ns() >= lease.until_ns
    await eventually_async(lambda: not launcher(sandbox).children())
    other = Lease(boot_clock_ns() + 3600 * SECOND)
    assert await sandbox.warm_up(spec, other) == ""
    confined = await sandbox.launch(spec, other)
    assert is_warm(confined)
    await end(actor, actor.Inside(confined))


async def test_a_launch_that_is_cancelled_leaves_nothing(sandbox, actor):
    spec = importing(actor.spec("nothing"), "")
    await sandbox.warm_up(spec)
    for turns in range(12):
        launch = asyncio.create_task(sandbox.launch(spec))
        for _ in range(turns):
            await asyncio.sleep(0)
        launch.cancel()
        try:
            await end(actor, actor.Inside(await launch))
        except asyncio.CancelledError:
            pass

    await eventually_async(lambda: len(sandbox._live) == 1)  # the zygote
    assert await run(sandbox, actor, spec)


async def test_closing_amid_launches_ends_them_all(sandbox, actor):
    spec = importing(actor.spec("nothing"), "")
    await sandbox.warm_up(spec)
    under_way = [asyncio.create_task(sandbox.launch(spec)) for _ in range(8)]
    also = asyncio.create_task(sandbox.warm_up(importing(actor.spec("nothing"), "another = 1")))
    below = launcher(sandbox).children(recursive=True)
    await under_way[0]

    await sandbox.close()

    results = await asyncio.gather(*under_way, return_exceptions=True)
    assert await also
    for result in results:
        if isinstance(result, BaseException):
            assert isinstance(result, package.SandboxError)
        else:
            os.close(result.stdout)
            os.close(result.stderr)
    eventually(lambda: not any(is_alive(process) for process in below))
