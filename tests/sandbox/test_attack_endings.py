"""The rows of the attack table that end the attempt, or that its runner has to end: each ends, and harms no other."""

from __future__ import annotations

import asyncio
import platform
import signal

import pytest
import pytest_asyncio

from sandbox import Limits, WireError

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: row, name, expression, the signal that ends it, or "exit N".
ENDS_BY_ITSELF = [
    (52, "i386 call", "run_i386()", (signal.SIGSYS, signal.SIGSEGV)),
    (52, "x32 call", "_libc.syscall(ctypes.c_long(0x40000027))", (signal.SIGSYS,)),
    (62, "exit", "os._exit(7)", (7,)),
    (65, "segfault", "ctypes.string_at(0)", (signal.SIGSEGV,)),
    (66, "stack overflow", "overflow_stack()", (signal.SIGSEGV, 1)),
    (20, "kill itself", "os.kill(os.getpid(), 9)", (signal.SIGKILL,)),
    (67, "daemon that holds the pipes", "[hold_stdout(), os._exit(0)]", (0,)),
]
#: row, name, expression that does not end.
ENDLESS = [
    (31, "spin", "spin(1e9)"),
    (31, "spin in C under the GIL", "hold_gil()"),
    (32, "sleep for ever", "time.sleep(1e6)"),
    (33, "ignore every signal", "ignore_all_signals()"),
    (34, "stop itself", "os.kill(os.getpid(), signal.SIGSTOP)"),
    (34, "stop its children", "[fork_many(3), hold_stdout(), os.kill(0, signal.SIGSTOP)]"),
    (64, "thread that never ends", "threading.Thread(target=signal.pause).start() or signal.pause()"),
    (72, "named like the runner", "look_like_the_runner()"),
]
FRAMES = ("oversized", "partial", "binary", "not-a-number", "deep", "surrogate", "pickle")
IMPORTS = [
    ("raise ValueError('on purpose')", 1, "ValueError: on purpose"),
    ("raise SystemExit(3)", 3, ""),
    ("os._exit(0)", 0, ""),
    ("import atexit; atexit.register(os._exit, 9); raise SystemExit(3)", 3, ""),
    ("import nowhere_to_be_found", 1, "ModuleNotFoundError"),
]


def ids(rows):
    return [f"{row[0]:02}-{row[1].replace(' ', '-')}" for row in rows]


@pytest_asyncio.fixture(loop_scope="module")
async def arena(lasting_arena):
    """One for all rows, looked at after each."""
    lasting_arena.begin()
    yield lasting_arena
    await lasting_arena.assert_unharmed()


@pytest.mark.parametrize("row", ENDS_BY_ITSELF, ids=ids(ENDS_BY_ITSELF))
async def test_it_ends_by_itself(arena, actor, row):
    if row[0] == 52 and platform.machine() != "x86_64":
        pytest.skip("calls of that architecture do not exist here")
    confined = await arena.launch("attacks:evaluate", limits=Limits(memory_bytes=1 << 30))
    await confined.send({"eval": row[2]})

    outcome = (await actor.finish(confined)).outcome

    assert (outcome.exit_code if outcome.signal is None else outcome.signal) in row[3]


@pytest.mark.parametrize("row", ENDLESS, ids=ids(ENDLESS))
async def test_it_does_not_end_and_is_killed(arena, actor, row):
    confined = await arena.launch("attacks:evaluate")
    await confined.send({"eval": "1"})
    await confined.receive()
    await confined.send({"eval": row[2]})

    confined.terminate()
    async with asyncio.timeout(10):
        confined.kill()
        outcome = (await actor.finish(confined)).outcome

    assert outcome.exit_code is None


@pytest.mark.parametrize("entry", ["bomb_memory", "bomb_memory_in_a_child"], ids=["24-anonymous", "26-in-a-child"])
async def test_memory_is_taken_back(arena, actor, entry):
    confined = await arena.launch(f"actor:{entry}", limits=Limits(memory_bytes=64 << 20))
    if not confined.limits_memory:
        confined.kill()
        await actor.finish(confined)
        pytest.skip("no cgroup can be had here; the runner watches instead")

    async with asyncio.timeout(20):
        await confined.memory_killed()
    confined.kill()

    assert (await actor.finish(confined)).outcome.memory_kills > 0


async def test_25_memory_without_a_name_is_counted_too(arena, actor):
    confined = await arena.launch("attacks:evaluate", limits=Limits(memory_bytes=64 << 20))
    if not confined.limits_memory:
        confined.kill()
        await actor.finish(confined)
        pytest.skip("no cgroup can be had here; the runner watches instead")
    await confined.send({"eval": "fill(f'/proc/self/fd/{os.memfd_create(str())}', 256 << 20)"})

    assert (await actor.finish(confined)).outcome.memory_kills > 0


@pytest.mark.parametrize("name", FRAMES, ids=[f"59-61-{name}" for name in FRAMES])
async def test_what_is_no_frame_is_told_as_that(arena, actor, name):
    confined = await arena.launch("attacks:evaluate")
    await confined.send({"eval": f"[send_raw(FRAMES[{name!r}]), os._exit(0)]"})

    async with asyncio.timeout(20):
        with pytest.raises(WireError):
            await all_frames(confined)

    await asyncio.gather(confined.wait(), actor.read_all(confined.stdout), actor.read_all(confined.stderr))


@pytest.mark.parametrize(("code", "exit_code", "told"), IMPORTS, ids=[f"62-63-{row[0]}" for row in IMPORTS])
async def test_what_ends_while_it_is_imported_says_so(arena, actor, code, exit_code, told):
    unfit = "ended" if "_exit(0)" in code else f"raised {told.partition(':')[0] or 'SystemExit'}"
    confined = await arena.launch("runs_at_import:nothing", unfit, environment={"CODE": code})

    ended = await actor.finish(confined)

    assert ended.outcome.exit_code == exit_code
    assert told in ended.stderr
    assert ended.frames == []


async def test_56_a_forged_frame_is_its_own_and_no_others(arena, actor):
    confined = await arena.launch("attacks:evaluate")
    await confined.send({"eval": "[send_raw(FRAMES['forged']), os._exit(0)]"})

    ended = await actor.finish(confined)

    assert ended.frames == [{"type": "response", "result": "forged"}]


async def test_58_a_closed_channel_is_the_end_of_it(arena, actor):
    confined = await arena.launch("attacks:evaluate")
    await confined.send({"eval": "os.closerange(3, 1000) or os._exit(0)"})

    assert (await actor.finish(confined)).frames == []


async def test_68_71_what_an_attempt_changes_is_gone_for_the_next(arena, actor):
    first = await arena.launch("attacks:evaluate")
    for spoil in (
        "setattr(json.JSONEncoder, 'iterencode', None)",
        "setattr(__import__('builtins'), 'open', None)",
        "Path('/tmp/sitecustomize.py').write_bytes(b'x') and Path('/dev/shm/left').write_bytes(b'x')",
    ):
        await first.send({"eval": spoil})
    first.kill()
    await asyncio.gather(first.wait(), actor.read_all(first.stdout), actor.read_all(first.stderr))

    second = await arena.launch("attacks:evaluate")
    seen = (
        "[json.dumps([1], indent=1), callable(open), os.path.exists('/tmp/sitecustomize.py'), os.listdir('/dev/shm')]"
    )
    await second.send({"eval": seen})
    assert await second.receive() == {"value": repr(["[\n 1\n]", True, False, []])}
    second.kill()
    await actor.finish(second)


async def all_frames(confined):
    while await confined.receive() is not None:
        pass
