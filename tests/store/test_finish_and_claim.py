"""The end of one attempt and the claim of the next in one commit."""

from __future__ import annotations

import asyncio

import pytest

from runner.domain.status import Status
from runner.errors import StaleClaimError
from support.stores import SECOND, new_run, node_info


async def test_the_slot_of_what_ended_is_for_what_goes_next(desk) -> None:
    first, second = await desk.store.enqueue([new_run(parameters="[1]"), new_run(parameters="[2]")])
    claim = await desk.claim_one()

    ended, (following,) = await desk.end_and_claim(claim, result="1")

    assert (ended.id, ended.status, following.run.id) == (first.id, Status.SUCCEEDED, second.id)
    assert (following.parameters, following.attempt) == ("[2]", 1)
    assert (await desk.detail(first)).result == "1"
    assert [held.token for held in await desk.store.orphans("node")] == [following.token]


async def test_the_next_of_the_queue_that_it_held_may_be_next(desk) -> None:
    await desk.store.enqueue([new_run(queue="q") for _ in range(3)])
    claim = await desk.claim_one()
    assert await desk.claim() == []

    for _ in range(2):
        _, (claim,) = await desk.end_and_claim(claim, slots=3)

    assert (await desk.end_and_claim(claim))[1] == []


async def test_what_ends_to_be_tried_again_at_once_can_be_what_goes_next(desk) -> None:
    run = await desk.enqueue()

    ended, (again,) = await desk.end_and_claim(await desk.claim_one(), Status.QUEUED)

    assert (ended.status, again.run.id, again.attempt) == (Status.QUEUED, run.id, 2)


async def test_where_the_claim_had_ended_already_nothing_is_handed_out(desk) -> None:
    await desk.store.enqueue([new_run(), new_run()])
    claim = await desk.claim_one()
    await desk.end(claim, Status.FAILED)

    with pytest.raises(StaleClaimError):
        await desk.end_and_claim(claim)

    assert await desk.store.orphans() == []
    assert len(await desk.claim(2)) == 1


async def test_done_again_it_says_how_the_run_stands(desk) -> None:
    await desk.enqueue()
    claim = await desk.claim_one()
    ended, _ = await desk.end_and_claim(claim)
    await desk.enqueue()

    assert (await desk.end_and_claim(claim))[0] == ended


@pytest.mark.parametrize("how", ["drained", "dead"])
async def test_a_node_that_may_not_claim_ends_its_runs_and_is_handed_out_nothing(desk, how: str) -> None:
    await desk.store.enqueue([new_run(), new_run()])
    claim = await desk.claim_one()
    if how == "drained":
        await desk.store.drain_node("name of node")
    else:
        [state] = await desk.store.nodes()
        await desk.store.bury("node", state.beat)

    ended, following = await desk.end_and_claim(claim)

    assert (ended.status, following) == (Status.SUCCEEDED, [])
    await desk.store.register(node_info("other"))
    assert len(await desk.claim(2, node="other")) == 1


async def test_what_is_due_meanwhile_is_left_to_a_claim_or_handed_out(desk) -> None:
    await desk.enqueue()
    later = await desk.enqueue(due_at=desk.now + SECOND)
    claim = await desk.claim_one()
    desk.pass_s(2)

    _, following = await desk.end_and_claim(claim)

    [got] = following or await desk.claim()
    assert got.run.id == later.id


async def test_many_at_once_hand_out_nothing_twice_and_block_nobody(desk) -> None:
    await desk.store.enqueue([new_run(queue=f"q{number % 5}", task="abc"[number % 3]) for number in range(60)])

    async def work(claims) -> int:
        count = 0
        while claims or (claims := await desk.claim()):
            _, claims = await desk.end_and_claim(claims[0])
            count += 1
        return count

    async with asyncio.timeout(30):
        counts = await asyncio.gather(*(work([]) for _ in range(8)))

    assert sum(counts) <= 60
    assert await work([]) == 60 - sum(counts)
    assert await desk.store.count("main") == {Status.SUCCEEDED: 60}
