"""Memory: a run that needs more than is free is neither starved nor starving."""

from __future__ import annotations

import pytest

from runner.store.records import TaskKey
from support.stores import SECOND, new_run

BIG = TaskKey("main", "big")


@pytest.fixture
async def desk(open_desk):
    return await open_desk(tasks={"small": 250, "big": 750, "huge": 2000})


async def test_what_is_claimed_fits_in_the_free_memory(desk) -> None:
    await desk.store.enqueue([new_run(task="small") for _ in range(9)])

    assert len(await desk.claim(9, memory=600)) == 2


async def test_a_task_that_fits_no_node_is_passed(desk) -> None:
    await desk.enqueue(task="huge")
    await desk.enqueue(task="small")

    got = await desk.claims(9)

    assert [claim.run.task for claim in got.claims] == ["small"]
    assert got.reserved_for is None


async def test_free_memory_is_kept_for_a_big_task_whose_turn_it_is(desk) -> None:
    await desk.enqueue(task="big")
    await desk.store.enqueue([new_run(task="small") for _ in range(9)])

    blocked = await desk.claims(9, memory=500)
    assert (blocked.claims, blocked.reserved_for) == ((), BIG)

    (big, *small) = await desk.claim(9, memory=1000)
    assert [big.run.task, *(claim.run.task for claim in small)] == ["big", "small"]


async def test_a_stream_of_small_tasks_does_not_starve_a_big_one(desk) -> None:
    await desk.store.enqueue([new_run(task="small") for _ in range(100)])
    running = await desk.claim(9)
    await desk.enqueue(task="big")

    for _ in range(8):  # one small attempt ends, the node asks for more
        if running:
            await desk.end(running.pop())
        running += await desk.claim(
            9, memory=1000 - sum(desk.needs[TaskKey("main", each.run.task)] for each in running)
        )
        desk.pass_s(0.5)
        if any(claim.run.task == "big" for claim in running):
            return
    pytest.fail("the big task was passed all the time")


async def test_small_tasks_go_on_beside_one_that_never_ends_and_a_big_one_that_waits_for_it(desk) -> None:
    await desk.enqueue(task="big")  # it waits for 500 bytes that never come free
    await desk.store.enqueue([new_run(task="small") for _ in range(9)])
    first = await desk.claims(9, memory=500)
    assert first.claims == ()

    desk.now = first.wake_at
    second = await desk.claims(9, memory=500)

    assert first.wake_at <= desk.now < first.wake_at + 60 * SECOND
    assert [claim.run.task for claim in second.claims] == ["small", "small"]


async def test_memory_is_kept_again_and_longer_until_the_big_task_goes(desk) -> None:
    await desk.enqueue(task="big")
    kept, since = [], desk.now
    for _ in range(6):
        got = await desk.claims(9, memory=500)
        if got.reserved_for:
            kept.append(got.wake_at - desk.now)
        desk.now = got.wake_at

    assert kept == sorted(set(kept))
    assert len(kept) == 3
    assert desk.now > since
    (claim,) = await desk.claim(9)
    assert claim.run.task == "big"


async def test_two_big_tasks_have_their_time_in_turn(open_desk) -> None:
    desk = await open_desk(tasks={"big": 750, "also": 800})
    await desk.enqueue(task="big")
    await desk.enqueue(task="also")

    kept = []
    for _ in range(4):
        got = await desk.claims(9, memory=500)
        kept.append(got.reserved_for and got.reserved_for.task)
        desk.now = got.wake_at

    assert sorted(filter(None, kept)) == ["also", "big"]


async def test_memory_is_not_kept_for_the_time_by_which_the_clock_is_set_back(desk) -> None:
    desk.pass_s(86_400)
    await desk.enqueue(task="big")
    assert (await desk.claims(memory=500)).reserved_for == BIG
    desk.pass_s(-86_400)

    wake_at = (await desk.claims(memory=500)).wake_at

    assert wake_at == desk.now + 10 * SECOND
    desk.pass_s(10)
    assert (await desk.claims(memory=500)).reserved_for is None
