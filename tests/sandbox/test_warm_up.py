"""What a module may do when it is imported and still start warm, and what becomes of one that does more."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os

import pytest

from sandbox import LauncherError, Level, Limits, Sandbox
from support.waiting import eventually_async
from support.warm import importing, is_warm, launcher, need_zygotes, zygotes


@pytest.fixture(autouse=True)
def zygotes_can_be_had(tmp_path):
    need_zygotes(tmp_path)


#: What is left behind by the import, how that is told, and an expression that is true where it works.
OBSTACLES = {
    "a thread": (
        "import threading\nthread = threading.Thread(target=threading.Event().wait, daemon=True)\nthread.start()",
        "started 1 thread",
        "thread.is_alive()",
    ),
    "threads": (
        "from multiprocessing.pool import ThreadPool\npool = ThreadPool(1)",
        "started 4 threads",
        "pool.map(abs, [-42]) == [42]",
    ),
    "a process": (
        "import subprocess\nprocess = subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)",
        "started processes",
        "process.communicate(b'meow')[0] == b'meow'",
    ),
    "a file": ("file = open('/code/helper.py')", "opened /code/helper.py", "'beside' in file.read()"),
    "a socket": (
        "import socket\nnear, far = socket.socketpair()\nnear.send(b'x')",
        "opened socket:[",
        "far.recv(1) == b'x'",
    ),
    "an event loop": (
        "import asyncio\nloop = asyncio.new_event_loop()",
        "opened anon_inode:[eventpoll]",
        "loop.run_until_complete(asyncio.sleep(0, 7)) == 7",
    ),
    "shared memory": (
        "import mmap\nmemory = mmap.mmap(-1, 4096)\nmemory[0] = 7",
        "made shared memory",
        "memory[0] == 7",
    ),
    "a lock of multiprocessing": (
        "import multiprocessing\nlock = multiprocessing.Lock()",
        "made shared memory",
        "lock.acquire()",
    ),
    "System V semaphores": (
        "import ctypes\nsemaphores = ctypes.CDLL(None).semget(0, 1, 0o600)",
        "made System V IPC objects",
        "ctypes.CDLL(None).semctl(semaphores, 0, 12) == 0",  # GETVAL
    ),
    "a temporary file": (
        "open('/tmp/kept', 'w').write('kept')",
        "wrote /tmp/kept",
        "open('/tmp/kept').read() == 'kept'",
    ),
    "a file in shared memory": (
        "open('/dev/shm/kept', 'w').write('kept')",
        "wrote /dev/shm/kept",
        "open('/dev/shm/kept').read() == 'kept'",
    ),
    "another folder": ("import os\nos.chdir('/usr')", "went to another folder", "os.getcwd() == '/usr'"),
    "an alarm": (
        "import signal\nsignal.alarm(3600)",
        "set a timer",
        "3000 < signal.getitimer(signal.ITIMER_REAL)[0] <= 3600",
    ),
    "a profiler's timer": (
        "import signal\nsignal.setitimer(signal.ITIMER_PROF, 3600)",
        "set a timer",
        "signal.getitimer(signal.ITIMER_PROF)[0] > 3000",
    ),
    "zombies that nobody reaps": (
        "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "took charge of SIGCHLD",
        "signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN",
    ),
    "a replaced fork": (
        "import os\nown, forks = os.fork, []\nos.fork = lambda: forks.append(1) or own()",
        "replaced os.fork",
        "os.waitpid(os.fork() or os._exit(0), 0)[1] == 0 and forks == [1]",
    ),
}


@pytest.mark.parametrize("what", OBSTACLES)
async def test_what_attempts_cannot_inherit_has_each_start_anew_and_work(sandbox, actor, caplog, what):
    code, why, works = OBSTACLES[what]
    spec = importing(actor.spec("nothing", name="unfit"), code)
    caplog.set_level(logging.INFO, "sandbox.host.warm.zygote_pool")

    assert (await sandbox.warm_up(spec)).startswith(why)

    for _ in range(3):
        confined = await sandbox.launch(spec)
        assert not is_warm(confined)
        assert await actor.Inside(confined)(works) is True
        confined.kill()
        await actor.finish(confined)
    [line] = caplog.messages
    assert line.startswith(f"unfit starts anew for each attempt, which is slower: warming up, it {why}")


#: What may be done, and an expression that is true in an attempt that has inherited it.
FINE = {
    "a thread that has ended": ("import threading\nt = threading.Thread()\nt.start()\nt.join()", "not t.is_alive()"),
    "a process that has ended": ("import subprocess\nsaid = subprocess.run(['true']).returncode", "said == 0"),
    "a file that was closed": ("with open('/code/helper.py') as file: text = file.read()", "'beside' in text"),
    "a file that was deleted": ("import tempfile\nwith tempfile.TemporaryFile() as file: pass", "file.closed"),
    "private memory": ("import mmap\nmemory = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE)\nmemory[0] = 7", "memory[0] == 7"),
    "handlers of signals": (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "signal.getsignal(signal.SIGTERM) == signal.SIG_IGN",
    ),
    "variables of the environment": ("import os\nos.environ['FOUND'] = 'yes'", "os.environ['FOUND'] == 'yes'"),
    "logging": ("import logging\nlogging.basicConfig(level='DEBUG')", "logging.getLogger().level == logging.DEBUG"),
    "another stdout": ("import io, sys\nsys.stdout = io.StringIO()", "print('x') or sys.stdout.getvalue() == 'x\\n'"),
    "handlers of exits": ("import atexit\natexit.register(print, 'bye')", "True"),
}  # fmt: skip


@pytest.mark.parametrize("what", FINE)
async def test_what_attempts_can_inherit_is_there_in_each(sandbox, actor, what):
    code, expression = FINE[what]
    spec = importing(actor.spec("nothing"), code)

    assert await sandbox.warm_up(spec) == ""

    for _ in range(2):
        confined = await sandbox.launch(spec)
        assert is_warm(confined)
        assert await actor.Inside(confined)(expression) is True
        confined.kill()
        await actor.finish(confined)


#: Modules that harm what imports them, and how that is told. `ZYGOTE` is true where it is not an attempt that does it.
ZYGOTE = "import os, signal, sys, time\nif open('/proc/self/comm').read().startswith('zygote'):\n "
HARMFUL = {
    "hangs": ("while True: time.sleep(60)", "took longer than 1 s"),
    "hangs and holds the interpreter": ("7**7**9", "took longer than 1 s"),
    "is stopped": ("os.kill(os.getpid(), signal.SIGSTOP)", "took longer than 1 s"),
    "crashes": ("os.kill(os.getpid(), signal.SIGSEGV)", "ended"),
    "exits": ("os._exit(3)", "ended"),
    "raises SystemExit": ("sys.exit(3)", "raised SystemExit: 3"),
    "raises": ("raise ValueError('not\\nhere\\x1b[31m')", r"raised ValueError: not\nhere\x1b[31m"),
    "eats memory": ("kept = [bytearray(1 << 20) for _ in range(10_000)]", "ended"),
    "recurses": ("def f(): f()\n f()", "raised RecursionError: maximum"),
    "floods": ("for _ in range(2000): print('x' * 10_000); print('x' * 10_000, file=sys.stderr)", ""),
    "leaves orphans": (
        "if os.fork() == 0:\n  if os.fork() == 0:\n   while True: time.sleep(60)\n  os._exit(0)\n os.wait()",
        "left 1 process",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HARMFUL)
async def test_a_module_that_harms_its_zygote_harms_nothing_else(sandbox, actor, monkeypatch, what):
    monkeypatch.setattr("sandbox.host.launching._WARM_UP_PATIENCE_S", 1.0)
    code, why = HARMFUL[what]
    spec = importing(actor.spec("nothing"), ZYGOTE + code)
    neighbour = await sandbox.launch(actor.spec("echo"))

    assert (await sandbox.warm_up(spec)).startswith(why)

    confined = await sandbox.launch(spec)
    assert is_warm(confined) == (why == "")
    assert await actor.Inside(confined)("6 * 7") == 42
    confined.kill()
    await actor.finish(confined)
    await neighbour.send({"alive": True})
    assert await neighbour.receive() == {"alive": True}
    neighbour.kill()
    await actor.finish(neighbour)
    sandbox.retire_zygotes(lambda _: False)
    await eventually_async(lambda: not launcher(sandbox).children())


#: What a module may have happen whenever its zygote forks.
HOOKS = {
    f"{how} {when}": f"import os, time\nos.register_at_fork({when}=lambda: {what})"
    for when in ("before", "after_in_parent", "after_in_child")
    for how, what in (("hangs", "time.sleep(3600)"), ("exits", "os._exit(3)"), ("raises", "1 / 0"))
}


@pytest.mark.parametrize("hook", HOOKS)
async def test_a_hook_on_forks_keeps_no_attempt_from_starting_and_ending(sandbox, actor, monkeypatch, hook):
    monkeypatch.setattr("sandbox.host.launching._FORK_PATIENCE_S", 0.5)
    monkeypatch.setattr("sandbox.host.confined._REAP_PATIENCE_S", 0.5)
    spec = importing(actor.spec("nothing"), HOOKS[hook])
    await sandbox.warm_up(spec)

    for _ in range(3):
        async with asyncio.timeout(10):
            confined = await sandbox.launch(spec)
            with contextlib.suppress(ConnectionError):  # its zygote ended
                await confined.send({"eval": "6 * 7"})
                assert await confined.receive() in ({"value": 42}, None)
            confined.kill()
            with contextlib.suppress(LauncherError):
                await confined.wait()
            os.close(confined.stdout)
            os.close(confined.stderr)
    assert is_warm(confined) == ("raises" in hook)
    assert len(zygotes(sandbox)) == is_warm(confined)


async def test_the_memory_limit_of_attempts_holds_their_zygote_too(sandbox, actor):
    half = "hoard = [bytearray(1 << 20) for _ in range({})]"
    limits = Limits(memory_bytes=96 << 20, processes=32, disk_bytes=4 << 20, open_files=64)
    small = importing(actor.spec("nothing", limits=limits), half.format(10))
    large = importing(actor.spec("nothing", limits=limits), half.format(200))

    assert await sandbox.warm_up(small) == ""
    assert await sandbox.warm_up(large) == "ended"

    assert len(zygotes(sandbox)) == 1


async def test_a_sandbox_that_keeps_nothing_warm_says_so_and_starts_no_zygote(tmp_path, actor):
    sandbox = Sandbox(lock_file=tmp_path / "lock", keep_warm_s=0)
    await sandbox.start()
    spec = importing(actor.spec("nothing"), "")

    assert await sandbox.warm_up(spec) == "is not to be kept (keep_warm_s is 0)"
    for _ in range(3):
        confined = await sandbox.launch(spec)
        assert not is_warm(confined)
        confined.kill()
        await actor.finish(confined)
    assert zygotes(sandbox) == []
    await sandbox.close()


@pytest.mark.parametrize("weaker", [Level.RESTRICTED, Level.BASIC])
async def test_below_level_full_nothing_is_kept_warm_which_is_said_once(tmp_path, actor, caplog, weaker):
    sandbox = await actor.start(tmp_path, weaker)
    caplog.set_level(logging.INFO, "sandbox.host.warm.zygote_pool")
    spec = importing(actor.spec("nothing"), "")

    for each in (spec, importing(actor.spec("nothing", name="other"), "other = 1")):
        assert await sandbox.warm_up(each) == f"needs level full, and this is {weaker}"
    assert caplog.messages == [f"no task starts warm here: that needs level full, and this is {weaker}"]

    confined = await sandbox.launch(spec)
    assert await actor.Inside(confined)("6 * 7") == 42
    confined.kill()
    await actor.finish(confined)
    await sandbox.close()


async def test_a_spec_that_says_nothing_of_warming_up_is_refused(sandbox, actor):
    with pytest.raises(ValueError, match="warm_up"):
        await sandbox.warm_up(dataclasses.replace(actor.spec("nothing"), warm_up=None))
