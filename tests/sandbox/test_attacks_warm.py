"""The rows of the attack table against warm starts: what a module does to its zygote, and an attempt to its siblings.

What was imported in a zygote can change whatever runs in there. So each row is tried by a module that does that, and
what is asserted is seen from outside.
"""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path

import pytest

from sandbox import Limits
from support.waiting import eventually_async
from support.warm import importing, is_alive, is_warm, launcher, need_zygotes, zygotes

pytestmark = pytest.mark.usefixtures("who")

#: Before code that only the zygote runs, when it is imported: an attempt that imports it anew is honest.
_ZYGOTE = """
import os, sys, time
messages, fork_safety = sys.modules["sandbox.protocol.standby_messages"], sys.modules["sandbox.inner.warm.fork_safety"]
fork_safety.obstacle = lambda *_: ""
def spin():
    while True: pass
"""


def in_zygote(actor, code, **options):
    """A spec whose module runs this code in its zygote."""
    condition = "if open('/proc/self/comm').read().startswith('zygote'):"
    return importing(actor.spec("nothing", **options), f"{_ZYGOTE}\n{condition}\n{textwrap.indent(code, ' ')}")


def replacing(function, body):
    """Code that replaces a function of `standby_messages`; `own` is the function, `peer` what it is called with."""
    return f"own = messages.{function}\ndef other(peer):\n{textwrap.indent(body, ' ')}\nmessages.{function} = other"


@pytest.fixture(autouse=True)
def zygotes_can_be_had(tmp_path):
    need_zygotes(tmp_path)


@pytest.fixture
def looks_often(monkeypatch):
    monkeypatch.setattr("sandbox.host.warm.zygote_pool._LOOK_S", 0.2)
    monkeypatch.setattr("sandbox.host.warm.footprint._LOOK_AGAIN_S", 0.2)
    monkeypatch.setattr("sandbox.host.warm.footprint._LOOK_CPU_S", 0.02)


async def launch_warm(sandbox, actor, spec):
    assert await sandbox.warm_up(spec) == ""
    confined = await sandbox.launch(spec)
    assert is_warm(confined)
    return actor.Inside(confined)


async def end(actor, ask):
    ask.confined.kill()
    return await actor.finish(ask.confined)


async def assert_next_is_cold(sandbox, actor, spec):
    confined = await sandbox.launch(spec)
    assert not is_warm(confined)
    ask = actor.Inside(confined)
    assert await ask("6 * 7") == 42
    await end(actor, ask)
    await eventually_async(lambda: not launcher(sandbox).children())


# --- 82: a zygote is itself and nothing else, and what it holds is counted -------------------------------------------

HIDDEN = {
    "a child": ("if os.fork() == 0: spin()", "left 1 process"),
    "a grandchild": ("if os.fork() == 0: os.fork() and os._exit(0) or spin()\nos.wait()", "left 1 process"),
    "a thread": ("import threading; threading.Thread(target=spin, daemon=True).start()", "left 1 thread"),
    "an open file": ("kept = [open('/code/helper.py') for _ in range(2)]", "left /code/helper.py open"),
    "a socket in place of stdin": ("import socket; kept = socket.socketpair()", "left socket:["),
    "shared memory": ("import mmap; kept = mmap.mmap(-1, 4096)", "left shared memory"),
    "shared memory that is read-only for now": (
        "import mmap; kept = mmap.mmap(-1, 4096, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, mmap.PROT_READ)",
        "left shared memory",
    ),
    "a file for writing, mapped to be read": (
        (
            "import mmap\nfile = os.memfd_create('x')\nos.truncate(file, 4096)\n"
            "kept = mmap.mmap(file, 4096, mmap.MAP_SHARED, mmap.PROT_READ)\nos.close(file)"
        ),
        "left ",
    ),
}


@pytest.mark.parametrize("what", HIDDEN)
async def test_82_what_a_module_leaves_in_its_zygote_is_seen_from_outside(sandbox, actor, what):
    code, why = HIDDEN[what]
    spec = in_zygote(actor, code)

    assert (await sandbox.warm_up(spec)).startswith(why)

    await eventually_async(lambda: not launcher(sandbox).children())
    await assert_next_is_cold(sandbox, actor, spec)


#: Has a zygote do something once it has obeyed its inits so many times: each of them says twice what it wants.
ON_OBEYING = """
zygotes = sys.modules["sandbox.inner.warm.zygote"].Zygote
turns, own = 0, zygotes._obey
def obey(self, init):
    global turns
    turns += 1
    own(self, init)
    if turns >= {}: {}
zygotes._obey = obey
"""
#: What it does once its first attempts are asked for.
LATER = {
    "forks beside its attempts": ON_OBEYING.format(2, "os.fork() or spin()"),
    "works on by itself": ON_OBEYING.format(2, "spin()"),
    "has a standby work that should wait": replacing("await_call", "spin()"),
    "has a standby fork that should wait": replacing(
        "await_call", "if os.fork() == 0: time.sleep(3600)\nreturn own(peer)"
    ),
}


@pytest.mark.parametrize("what", LATER)
async def test_82_what_works_with_no_attempt_running_is_found_and_ends(sandbox, actor, looks_often, what):
    spec = in_zygote(actor, LATER[what])
    await sandbox.warm_up(spec)
    processes = launcher(sandbox).children(recursive=True)

    await eventually_async(lambda: not any(is_alive(each) for each in processes))

    await assert_next_is_cold(sandbox, actor, spec)


async def test_82_an_attempt_goes_on_when_its_zygote_is_found_at_work(sandbox, actor, looks_often):
    spec = in_zygote(actor, ON_OBEYING.format(3, "spin()"))  # at the second init, which is for the next attempt
    ask = await launch_warm(sandbox, actor, spec)

    await eventually_async(lambda: not zygotes(sandbox))

    assert await ask("6 * 7") == 42
    await end(actor, ask)
    await assert_next_is_cold(sandbox, actor, spec)


async def test_82_a_zygote_that_warmed_up_is_held_to_what_it_uses(sandbox, actor):
    hoard = "global kept\nkept = bytearray(100 << 20)\nreturn own(peer)"
    spec = in_zygote(actor, replacing("asked", hoard))

    await sandbox.warm_up(spec)

    await eventually_async(lambda: not launcher(sandbox).children())
    await assert_next_is_cold(sandbox, actor, spec)


async def test_82_all_that_is_kept_warm_holds_no_more_than_is_free(sandbox, actor):
    limits = Limits(memory_bytes=128 << 20)
    specs = [importing(actor.spec("nothing", limits=limits), f"number = {number}") for number in range(5)]
    free = 300 << 20
    sandbox.share_memory(lambda: free)

    for spec in specs:
        assert await sandbox.warm_up(spec) == ""
        assert held(sandbox) <= free
    used = await launch_warm(sandbox, actor, specs[-1])
    assert 0 < sandbox.warm_bytes == held_by(sandbox, specs[-1])
    free = 0
    await sandbox.make_room()

    assert len(zygotes(sandbox)) == 1
    assert "no room" in await sandbox.warm_up(specs[0])
    assert await used("6 * 7") == 42
    await end(actor, used)
    await sandbox.make_room()
    assert held(sandbox) == sandbox.warm_bytes == 0
    await eventually_async(lambda: not launcher(sandbox).children())


def held(sandbox):
    return sum(zygote.bytes for zygote in sandbox._live.zygotes())


def held_by(sandbox, spec):
    return sum(zygote.bytes for zygote in sandbox._live.zygotes() if zygote.spec == spec)


# --- 84: the fault of one attempt is not the end of its siblings -----------------------------------------------------


async def test_84_siblings_go_on_when_an_attempt_cannot_be_reaped(sandbox, actor, monkeypatch):
    """However it came to that: its zygote waits for no child any more."""
    monkeypatch.setattr("sandbox.host.confined._REAP_PATIENCE_S", 0.3)
    spec = in_zygote(actor, "os.wait4 = lambda *_: time.sleep(3600)")
    one, two = [await launch_warm(sandbox, actor, spec) for _ in range(2)]

    await end(actor, one)

    assert await two("6 * 7") == 42
    await assert_cold_then_end(sandbox, actor, spec, two)


async def test_84_siblings_go_on_when_their_inits_are_told_that_they_are_over(sandbox, actor):
    """By their zygote, or by a process that has a copy of its link: here once it is asked for the fourth init."""
    lie = "[messages.tell_exit(each.link, 0, 0, 0) for each in self._inits.values() if each is not init]"
    spec = in_zygote(actor, ON_OBEYING.format(7, lie))
    attempts = [await launch_warm(sandbox, actor, spec) for _ in range(2)]
    [zygote] = sandbox._live.zygotes()
    await eventually_async(lambda: zygote.standbys.waiting)

    attempts.append(await launch_warm(sandbox, actor, spec))

    await eventually_async(lambda: zygote.standbys.waiting)
    assert [await ask("6 * 7") for ask in attempts] == [42] * 3
    assert zygote.ready  # it has lied, and gone on
    for ask in attempts:
        await end(actor, ask)


async def test_84_siblings_go_on_when_their_zygote_forks_no_more(sandbox, actor, monkeypatch):
    monkeypatch.setattr("sandbox.host.launching._FORK_PATIENCE_S", 0.5)
    spec = in_zygote(actor, ON_OBEYING.format(4, "time.sleep(3600)"))
    first = await launch_warm(sandbox, actor, spec)

    async with asyncio.timeout(20):
        while is_warm(confined := await sandbox.launch(spec)):
            await end(actor, actor.Inside(confined))
    await end(actor, actor.Inside(confined))

    assert await first("6 * 7") == 42
    await assert_cold_then_end(sandbox, actor, spec, first)


async def assert_cold_then_end(sandbox, actor, spec, ask):
    await eventually_async(lambda: not zygotes(sandbox))
    cold = await sandbox.launch(spec)
    assert not is_warm(cold)
    await end(actor, actor.Inside(cold))
    await end(actor, ask)
    await eventually_async(lambda: not launcher(sandbox).children())


# --- 86: what a zygote says of itself is its own word ----------------------------------------------------------------

_FORGED = r'{"step": "\u001b[2Jstep\nforged", "reason": "\u001b]0;owned\u0007no memory on this host", "errno": 12}'
SAID = {
    "a failed step": _FORGED,
    "that it stands": '{"ready": true}',
    "that it listens": '{"listening": true}',
    "its end": '{"exit_code": 0, "signal": null}',
    "the end of its lease": '{"exit_code": null, "signal": null, "lease_over": true}',
    "noise": "\x1b[2J\x00",
}


@pytest.mark.parametrize("what", SAID)
async def test_86_an_attempt_that_speaks_for_its_confinement_has_crashed_and_the_next_is_cold(sandbox, actor, what):
    forge = f"own(peer)\npeer.send({SAID[what].encode()!r})\nos._exit(1)"
    spec = in_zygote(actor, replacing("await_call", forge))
    ask = await launch_warm(sandbox, actor, spec)

    outcome = (await actor.finish(ask.confined)).outcome

    assert outcome.complaint
    assert outcome.complaint.isprintable()
    assert len(outcome.complaint) <= 300
    assert outcome.complaint in outcome.describe_exit()
    assert not outcome.lease_over
    await assert_next_is_cold(sandbox, actor, spec)


@pytest.mark.parametrize("what", SAID)
async def test_86_what_is_said_before_there_is_an_attempt_has_it_start_anew(sandbox, actor, what, caplog):
    spec = in_zygote(actor, f"messages.STANDING = {SAID[what].encode()!r}")
    caplog.set_level("INFO", "sandbox.host.warm.zygote_pool")
    await sandbox.warm_up(spec)

    await assert_next_is_cold(sandbox, actor, spec)

    assert all(line.isprintable() for line in caplog.messages)


# --- 89: all that an attempt does is counted as its own --------------------------------------------------------------

UNCOUNTED = {
    "leaves out what joins": "own = messages.take_over\nmessages.take_over = lambda near: own(near)[:3]",
    "changes what writes": "os.write = lambda *_: 1",
}


@pytest.mark.parametrize("what", UNCOUNTED)
async def test_89_an_attempt_is_in_its_own_cgroup_whatever_its_module_changed(sandbox, actor, what):
    limits = Limits(memory_bytes=64 << 20, processes=8, open_files=64, disk_bytes=4 << 20)
    ask = await launch_warm(sandbox, actor, in_zygote(actor, UNCOUNTED[what], limits=limits))
    [zygote] = zygotes(sandbox)

    assert counting(ask.confined.pid).isdisjoint(counting(zygote.pid))
    assert isinstance(await ask("[os.fork() or signal.pause() for _ in range(30)]"), OSError)
    await end(actor, ask)

    ask = await launch_warm(sandbox, actor, in_zygote(actor, UNCOUNTED[what], limits=limits))
    await ask.confined.send({"eval": "len([bytearray(1 << 20) for _ in range(200)])"})
    assert (await actor.finish(ask.confined)).outcome.memory_kills > 0


#: What a standby does before it says that it stands.
BEFOREHAND = {
    "forks a process": "if own() == 0: time.sleep(3600)",
    "starts a thread": "import threading; threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()",
    "has its child stand for it": "if own(): time.sleep(3600)",
}


@pytest.mark.parametrize("what", BEFOREHAND)
async def test_89_a_standby_that_is_not_alone_becomes_no_attempt(sandbox, actor, what):
    fork = f"own = os.fork\ndef fork():\n if pid := own(): return pid\n {BEFOREHAND[what]}\n return 0\nos.fork = fork"
    spec = in_zygote(actor, fork)
    await sandbox.warm_up(spec)

    await assert_next_is_cold(sandbox, actor, spec)


_COUNTING = {"memory", "pids", "cpu", "cpuacct", ""}


def counting(pid):
    """The cgroups that count what it uses, as (controllers, path)."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    found = {(controllers, path) for _, controllers, path in lines if _COUNTING & set(controllers.split(","))}
    return {(controllers, path) for controllers, path in found if "isolane-" in path}
