"""Rows 98 and 99 of the attack table: what the kernel tells of others, and does outside when a process crashes."""

from __future__ import annotations

import errno
import signal

import pytest

from sandbox import Level

_NOWAIT, _MERGEABLE, _CORE = 8, 12, 4
CACHED = (
    f"os.preadv(os.open(sys.executable, os.O_RDONLY), [bytearray(10)], 0, {_NOWAIT})",
    f"call('preadv2', os.open(sys.executable, os.O_RDONLY), bytes(16), 0, 0, 0, {_NOWAIT | 1 << 32})",
    f"call('preadv2', os.open(sys.executable, os.O_RDONLY), bytes(16), 0, 0, 0, {_NOWAIT | 1})",
    f"call('pwritev2', os.open('told', os.O_RDWR | os.O_CREAT), bytes(16), 0, 0, 0, {_NOWAIT})",
)
#: Ways to lower it. Above 4 GB lies a structure whose address has a lower half of 0.
LOWERING = (
    f"resource.setrlimit({_CORE}, (0, 0))",
    f"resource.prlimit(0, {_CORE}, (0, 0)) and None",
    f"call('setrlimit', {_CORE} | 1 << 32, bytes(16)) and None",
    f"call('prlimit64', 0, {_CORE}, bytes(16), 0) and None",
    f"globals().update(low=mmap_at(1 << 32)) or call('prlimit64', 0, {_CORE}, 1 << 32, 0) and None",
)
MMAP_AT = """
def mmap_at(place):
    ctypes.CDLL(None).mmap.restype = ctypes.c_void_p
    ctypes.CDLL(None).mmap(ctypes.c_void_p(place), ctypes.c_size_t(4096), 3, 0x100032, -1, ctypes.c_long(0))
"""


@pytest.fixture(params=[Level.FULL, Level.RESTRICTED], ids=str)
async def ask(request, who, tmp_path, actor):
    sandbox = await actor.start(tmp_path, request.param)
    confined = await sandbox.launch(actor.spec("evaluate"))
    ask = actor.Inside(confined)
    assert await ask("exec('from attacks import *', globals())") is None
    yield ask
    confined.kill()
    await actor.finish(confined)
    await sandbox.close()


async def test_98_what_others_have_read_and_what_their_pages_hold(ask):
    for attack in CACHED:
        assert (await ask(attack)).errno == errno.EOPNOTSUPP, attack
    assert (await ask(f"mmap.mmap(-1, 1 << 20).madvise({_MERGEABLE})")).errno == errno.EINVAL
    assert await ask("os.preadv(os.open(sys.executable, os.O_RDONLY), [bytearray(10)], 0)") == 10


async def test_99_no_crash_has_the_host_start_what_dumps_are_given_to(ask):
    await ask(f"exec({MMAP_AT!r}, globals())")

    for attack in LOWERING:
        answer = await ask(attack)
        assert not isinstance(answer, OSError) or answer.errno == errno.ENOSYS, (attack, answer)
        assert await ask(f"resource.getrlimit({_CORE})") == [1, 1], attack
    assert await ask("subprocess.run([sys.executable, '-c', 'import os; os.abort()']).returncode") == -signal.SIGABRT
