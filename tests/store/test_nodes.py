"""Nodes: they register, renew, are declared dead by what others saw of them, and leave."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from runner.domain.status import Reason, Status
from runner.errors import ConflictError, NotFoundError, StaleClaimError
from runner.store.records import Claims
from support.stores import new_run, node_info


async def _state(desk, node="node"):
    (state,) = [state for state in await desk.store.nodes() if state.info.id == node]
    return state


async def _renew(desk, node="node") -> bool:
    lease = desk.store.lease(node, within_s=5)
    try:
        return await lease.renew()
    finally:
        await lease.close()


async def test_a_node_is_listed_as_it_introduced_itself(desk) -> None:
    other = node_info("other", name="a name that sorts first", lease_s=7.5, capacity=9, version="2", sandbox="basic")
    await desk.store.register(other)

    states = await desk.store.nodes()

    assert [state.info for state in states] == [other, node_info()]
    assert all((state.draining, state.buried, state.running) == (False, False, 0) for state in states)
    assert all(abs(state.last_seen - desk.store.now()) < 60_000_000 for state in states)


async def test_registering_again_changes_nothing(desk) -> None:
    await _renew(desk)
    before = await _state(desk)

    await desk.store.register(node_info())

    assert await _state(desk) == before


async def test_each_renewal_is_a_beat(desk) -> None:
    before = (await _state(desk)).beat

    assert [await _renew(desk) for _ in range(3)] == [True] * 3

    assert (await _state(desk)).beat == before + 3


async def test_a_lease_is_renewed_in_the_loop_of_another_thread_while_the_stores_own_is_blocked(desk) -> None:
    lease = desk.store.lease("node", within_s=5)
    renewed = []

    async def keep() -> None:
        renewed.extend([await lease.renew() for _ in range(3)])
        await lease.close()
        await lease.close()

    keeper = threading.Thread(target=lambda: asyncio.run(keep()))
    keeper.start()
    keeper.join(10)  # on purpose without giving way to this loop

    assert renewed == [True] * 3


async def test_a_node_that_is_not_known_cannot_renew(desk) -> None:
    assert not await _renew(desk, "unheard of")


async def test_what_a_node_runs_is_counted(desk) -> None:
    await desk.store.enqueue([new_run(), new_run()])
    claim, _ = await desk.claim(2)
    await desk.end(claim)

    assert (await _state(desk)).running == 1


async def test_a_node_is_buried_only_while_its_beat_stands_still(desk) -> None:
    seen = (await _state(desk)).beat
    await _renew(desk)

    assert await desk.store.bury("node", seen) is None
    assert await desk.store.bury("unheard of", 1) is None

    assert await _renew(desk)
    assert not (await _state(desk)).buried


async def test_a_buried_node_renews_and_claims_nothing(desk) -> None:
    await desk.enqueue()
    assert await desk.store.bury("node", (await _state(desk)).beat) == []

    assert not await _renew(desk)
    with pytest.raises(StaleClaimError):
        await desk.claim()
    await desk.store.register(node_info())
    with pytest.raises(StaleClaimError):
        await desk.claim()

    await desk.store.register(node_info("fresh"))
    await desk.store.announce(desk.needs)
    assert len((await desk.claims(node="fresh")).claims) == 1


async def test_who_buries_a_node_gets_its_claims_and_ends_them_and_they_run_elsewhere(desk) -> None:
    await desk.store.register(node_info("other"))
    await desk.store.announce(desk.needs)
    await desk.store.enqueue([new_run(queue="q"), new_run(queue="r")])
    (kept,) = (await desk.claims(node="other")).claims
    claim = await desk.claim_one()

    (orphan,) = await desk.store.bury("node", (await _state(desk)).beat)
    assert (orphan.run, orphan.token, orphan.attempt) == (claim.run, claim.token, claim.attempt)
    await desk.end(orphan, Status.RETRYING, Reason.LOST)

    (again,) = (await desk.claims(node="other")).claims
    assert (again.run.id, again.attempt) == (claim.run.id, 2)
    with pytest.raises(StaleClaimError):
        await desk.end(claim, result="1")
    assert [each.token for each in await desk.store.orphans("other")] == [kept.token, again.token]


async def test_a_burial_that_was_not_finished_is_taken_up_again(desk) -> None:
    await desk.enqueue()
    claim = await desk.claim_one()
    beat = (await _state(desk)).beat
    await desk.store.bury("node", beat)

    (orphan,) = await desk.store.bury("node", beat)

    assert orphan.token == claim.token
    state = await _state(desk)
    assert (state.buried, state.running) == (True, 1)


async def test_of_a_claim_and_a_burial_at_once_the_burial_misses_nothing(desk) -> None:
    await desk.store.enqueue([new_run() for _ in range(30)])
    beat = (await _state(desk)).beat
    claiming = [asyncio.ensure_future(desk.claim()) for _ in range(30)]
    await asyncio.sleep(0)

    buried = await desk.store.bury("node", beat)

    got = [
        claim
        for each in await asyncio.gather(*claiming, return_exceptions=True)
        if isinstance(each, list)
        for claim in each
    ]
    assert {claim.token for claim in buried} == {claim.token for claim in got}


async def test_a_node_that_leaves_is_forgotten(desk) -> None:
    await desk.enqueue()
    claim = await desk.claim_one()
    with pytest.raises(ConflictError, match="1 attempt"):
        await desk.store.leave("node")
    await desk.end(claim)

    await desk.store.leave("node")
    await desk.store.leave("node")

    assert await desk.store.nodes() == []
    assert not await _renew(desk)


async def test_all_nodes_of_a_name_are_asked_to_drain(desk) -> None:
    for node, name in (("1", "x"), ("2", "x"), ("3", "y")):
        await desk.store.register(node_info(node, name=name))

    assert await desk.store.drain_node("x") == 2

    assert {state.info.id for state in await desk.store.nodes() if state.draining} == {"1", "2"}
    with pytest.raises(NotFoundError, match="'z'"):
        await desk.store.drain_node("z")


async def test_a_draining_node_is_handed_out_nothing_and_others_get_what_waits(desk) -> None:
    await desk.store.register(node_info("other"))
    await desk.store.announce(desk.needs)
    await desk.store.enqueue([new_run(), new_run()])
    claim = await desk.claim_one()

    await desk.store.drain_node("name of node")

    assert await desk.claims() == Claims(claims=(), wake_at=None)
    await desk.end(claim)
    assert len(await desk.claim(node="other")) == 1


async def test_a_claim_that_meets_a_drain_comes_before_it_or_gets_nothing(desk) -> None:
    await desk.store.enqueue([new_run() for _ in range(30)])
    claiming = [asyncio.ensure_future(desk.claim()) for _ in range(30)]
    await asyncio.sleep(0)

    await desk.store.drain_node("name of node")

    before = await desk.store.orphans("node")
    got = [claim for each in await asyncio.gather(*claiming) for claim in each]
    assert {claim.token for claim in got} == {claim.token for claim in before}


async def test_dead_nodes_are_pruned_once_their_claims_have_ended(desk) -> None:
    await desk.enqueue()
    await desk.claim_one()
    (orphan,) = await desk.store.bury("node", (await _state(desk)).beat)
    later = desk.store.now() + 1_000_000
    await desk.store.prune(finished_before=later, logs_before=0)
    assert (await _state(desk)).buried

    await desk.end(orphan, Status.FAILED, Reason.LOST)
    await desk.store.prune(finished_before=0, logs_before=0)
    assert (await _state(desk)).running == 0
    await desk.store.prune(finished_before=later, logs_before=0)

    assert await desk.store.nodes() == []


async def test_the_stores_clock_goes_forward_in_every_thread(desk) -> None:
    before = desk.store.now()

    after = await asyncio.to_thread(desk.store.now)

    assert before <= after
    assert abs(after - time.time_ns() // 1000) < 60_000_000


async def test_one_node_of_several_of_a_name_is_drained_by_its_id_and_goes_on_again(desk) -> None:
    for node in ("1", "2"):
        await desk.store.register(node_info(node, name="x"))

    assert await desk.store.drain_node("2") == 1
    assert [state.info.id for state in await desk.store.nodes() if state.draining] == ["2"]
    assert await desk.store.drain_node("2", draining=False) == 1
    assert [state for state in await desk.store.nodes() if state.draining] == []


async def test_a_node_that_goes_on_after_a_drain_is_handed_out_runs(desk) -> None:
    await desk.enqueue()
    await desk.store.drain_node("node")
    assert await desk.claim() == []

    await desk.store.drain_node("node", draining=False)

    await desk.claim_one()
