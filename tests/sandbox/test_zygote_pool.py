"""When a zygote is started, how long it stays, and how many there are."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from sandbox import Sandbox
from support.waiting import eventually_async
from support.warm import importing, launcher, need_zygotes, run, zygotes

SECOND = 10**9


@pytest.fixture(autouse=True)
def zygotes_can_be_had(tmp_path):
    need_zygotes(tmp_path)


async def end(actor, *asked):
    for each in asked:
        each.confined.kill()
        await actor.finish(each.confined)


# --- what they share -------------------------------------------------------------------------------------------------


@pytest.fixture
async def short_lived(tmp_path, actor):
    """A sandbox that keeps nothing warm for long."""
    sandbox = Sandbox(lock_file=tmp_path / "lock", keep_warm_s=0.2)
    await sandbox.start()
    yield sandbox
    await sandbox.close()
    assert not actor.cgroups(tmp_path / "lock")


async def test_what_comes_up_twice_starts_warm(sandbox, actor):
    spec = importing(actor.spec("nothing"), "")

    assert not await run(sandbox, actor, spec)
    assert zygotes(sandbox) == []
    assert not await run(sandbox, actor, spec)
    assert await sandbox.warm_up(spec) == ""  # waits for the one that is being started
    assert await run(sandbox, actor, dataclasses.replace(spec, name="another"))
    assert len(zygotes(sandbox)) == 1


@pytest.mark.parametrize(
    "difference", [{"environment": {"CODE": "from actor import *"}}, {"network": True}, {"path": ("/code", "/usr")}]
)
async def test_another_spec_has_a_zygote_of_its_own(sandbox, actor, difference):
    spec = importing(actor.spec("nothing"), "")
    await sandbox.warm_up(spec)

    assert not await run(sandbox, actor, dataclasses.replace(spec, **difference))
    assert await run(sandbox, actor, spec)


async def test_an_idle_zygote_is_retired_and_a_new_one_started_when_it_is_wanted_again(short_lived, actor):
    spec = importing(actor.spec("nothing"), "")
    for _ in range(2):
        assert await short_lived.warm_up(spec) == ""
        assert await run(short_lived, actor, spec)

        await eventually_async(lambda: not launcher(short_lived).children())


async def test_it_is_retired_when_idle_also_after_a_new_start(short_lived, actor):
    spec = importing(actor.spec("nothing"), "")
    await short_lived.warm_up(spec)
    await short_lived.close()
    await short_lived.start()

    assert await short_lived.warm_up(spec) == ""

    await eventually_async(lambda: not launcher(short_lived).children())


async def test_it_is_not_idle_while_an_attempt_of_it_lives(short_lived, actor):
    spec = importing(actor.spec("nothing"), "")
    await short_lived.warm_up(spec)
    lasting = await short_lived.launch(spec)
    other = importing(actor.spec("nothing", name="other"), "other = 1")
    await short_lived.warm_up(other)

    await eventually_async(lambda: len(zygotes(short_lived)) == 1)  # the other's time was over later

    assert await actor.Inside(lasting)("6 * 7") == 42
    lasting.kill()
    await actor.finish(lasting)
    await eventually_async(lambda: not launcher(short_lived).children())


async def test_when_its_code_is_not_current_it_ends_with_the_last_of_its_attempts(sandbox, actor):
    spec = importing(actor.spec("nothing"), "")
    await sandbox.warm_up(spec)
    lasting = await sandbox.launch(spec)

    sandbox.retire_zygotes(lambda _: False)

    assert not await run(sandbox, actor, spec)
    assert await actor.Inside(lasting)("6 * 7") == 42
    assert len(zygotes(sandbox)) == 1
    lasting.kill()
    await actor.finish(lasting)
    await eventually_async(lambda: not launcher(sandbox).children())


async def test_the_longest_idle_makes_room_for_another_and_one_in_use_does_not(sandbox, actor, monkeypatch):
    monkeypatch.setattr(sandbox._zygotes, "_most", 2)
    first, second, third = (importing(actor.spec("nothing"), f"number = {number}") for number in range(3))
    for spec in (first, second):
        await sandbox.warm_up(spec)
    used = await sandbox.launch(first)

    assert await sandbox.warm_up(third) == ""

    assert await run(sandbox, actor, first)
    assert await run(sandbox, actor, third)
    assert not await run(sandbox, actor, second)
    also = await sandbox.launch(third)
    assert "no room" in await sandbox.warm_up(second)
    await end(actor, actor.Inside(used), actor.Inside(also))


async def test_many_that_are_started_at_once_are_no_more_than_may_be(sandbox, actor, monkeypatch):
    monkeypatch.setattr(sandbox._zygotes, "_most", 2)
    specs = [importing(actor.spec("nothing"), f"number = {number}") for number in range(6)]

    await asyncio.gather(*(sandbox.warm_up(spec) for spec in specs))

    assert len(zygotes(sandbox)) == 2


async def test_one_who_waits_for_it_may_give_up_and_another_gets_it(sandbox, actor):
    spec = importing(actor.spec("nothing"), "")
    hasty, patient = (asyncio.create_task(sandbox.warm_up(spec)) for _ in range(2))
    await asyncio.sleep(0)

    hasty.cancel()

    assert await patient == ""
    assert hasty.cancelled()


# --- whoever dies ----------------------------------------------------------------------------------------------------
