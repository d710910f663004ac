"""Claiming: what comes due, what goes first, what waits."""

from __future__ import annotations

import asyncio
from collections import Counter

from runner.domain.options.queue_rule import QueueRule
from runner.domain.retry import Retry
from runner.domain.status import Status
from runner.store.records import TaskKey
from support.stores import SECOND, START, new_run


async def test_a_claim_carries_what_an_attempt_needs(desk) -> None:
    stored = await desk.enqueue(parameters='{"x": 1}', queue="q")

    claim = await desk.claim_one()

    assert (claim.run.id, claim.run.status, claim.run.started_at) == (stored.id, Status.RUNNING, desk.now)
    assert (claim.parameters, claim.attempt, claim.run.attempt_count) == ('{"x": 1}', 1, 1)
    (attempt,) = (await desk.detail(stored)).attempts
    assert (attempt.number, attempt.node, attempt.fence, attempt.finished_at) == (1, "node", claim.fence, None)


async def test_what_was_stored_is_what_is_claimed(desk) -> None:
    options = {"tags": ("a b", "ø"), "retry": Retry(attempts=7), "priority": -(1 << 40), "timeout_s": 0.1 + 0.2}
    await desk.enqueue(**options, parameters='{"text":"\\u0000 \\ud83d \U0001f600 \\" \\n"}')
    await desk.enqueue(timeout_s=float("inf"), queue="q", idempotency_key="once", expires_at=desk.now + SECOND)

    for claim in await desk.claim(2):
        detail = await desk.detail(claim.run)
        assert (claim.run, claim.parameters) == (detail.run, detail.parameters)


async def test_a_claimed_run_is_not_claimed_again(desk) -> None:
    await desk.enqueue()
    await desk.claim_one()

    assert await desk.claim() == []


async def test_fences_only_grow_even_when_everything_was_pruned(desk) -> None:
    fences = []
    for _ in range(3):
        await desk.enqueue()
        claim = await desk.claim_one()
        fences.append(claim.fence)
        await desk.end(claim)
        await desk.store.prune(finished_before=desk.now + 1, logs_before=0)

    assert fences == sorted(set(fences))


async def test_no_more_is_claimed_than_there_are_slots(desk) -> None:
    await desk.store.enqueue([new_run() for _ in range(5)])

    assert len(await desk.claim(3)) == 3
    assert await desk.claim(0) == []
    assert len(await desk.claim(3)) == 2


async def test_two_claims_at_once_never_hand_out_one_run_twice(desk) -> None:
    await desk.store.enqueue([new_run(queue=f"q{number % 7}", task="abc"[number % 3]) for number in range(60)])

    claims = await asyncio.gather(*(desk.claim(2) for _ in range(20)))

    runs = [claim.run for batch in claims for claim in batch]
    assert len({run.id for run in runs}) == len(runs) == 7
    assert len({run.queue for run in runs}) == 7


async def test_within_a_queue_priority_goes_first_then_age_across_tasks(desk) -> None:
    wanted = [
        await desk.enqueue(queue="q", task="a", priority=5),
        await desk.enqueue(queue="q", task="b", priority=5),
        await desk.enqueue(queue="q", task="b", priority=9),
        await desk.enqueue(queue="q", task="a", priority=-1),
    ]

    got = []
    for _ in wanted:
        claim = await desk.claim_one()
        got.append(claim.run.id)
        await desk.end(claim)

    assert got == [wanted[place].id for place in (2, 0, 1, 3)]


async def test_turns_go_round_between_queues_and_tasks_without_a_queue(desk) -> None:
    await desk.store.enqueue([new_run() for _ in range(200)])
    await desk.store.enqueue([new_run(task="b", queue=f"q{number % 3}") for number in range(30)])
    await desk.store.enqueue([new_run(task="c", priority=100) for _ in range(30)])

    order = []
    for _ in range(25):
        claim = await desk.claim_one()
        order.append((claim.run.task, claim.run.queue))
        await desk.end(claim)

    assert set(Counter(order).values()) == {5}
    assert all(len(set(order[turn : turn + 5])) == 5 for turn in range(0, 25, 5))


async def test_a_flood_does_not_keep_a_later_task_waiting(desk) -> None:
    await desk.store.enqueue([new_run() for _ in range(500)])
    await desk.claim(3)
    late = await desk.enqueue(task="b")

    assert late.id in {claim.run.id for claim in await desk.claim(2)}


async def test_a_queue_that_is_refilled_all_the_time_does_not_pass_the_others(desk) -> None:
    await desk.store.enqueue([new_run(queue=f"q{number}") for number in range(5)])
    order = []
    for _ in range(10):
        claim = await desk.claim_one()
        order.append(claim.run.queue)
        await desk.enqueue(queue=claim.run.queue)
        await desk.end(claim)

    assert set(order[:5]) == set(order[5:]) == {f"q{number}" for number in range(5)}


async def test_a_run_is_claimed_when_it_is_due_and_not_before(desk) -> None:
    run = await desk.enqueue(due_at=START + 10 * SECOND)

    early = await desk.claims()
    assert early.claims == ()
    assert early.wake_at == run.due_at

    desk.now = run.due_at
    (claim,) = await desk.claim()
    assert (claim.run.id, claim.run.due_at) == (run.id, run.due_at)


async def test_a_crowd_that_falls_due_at_once_is_taken_in_parts(desk) -> None:
    await desk.store.enqueue([new_run(due_at=START + 1, queue="q") for _ in range(1200)])
    desk.pass_s(1)

    first = await desk.claims(0)

    assert first.wake_at == desk.now
    while (await desk.claims(0)).wake_at is not None:
        pass
    assert await desk.store.count("main") == {Status.QUEUED: 1200}


async def test_a_run_expires_when_it_was_not_started_in_time(desk) -> None:
    waiting = await desk.enqueue(expires_at=START + 5 * SECOND)
    scheduled = await desk.enqueue(due_at=START + 60 * SECOND, expires_at=START + 6 * SECOND)
    assert (await desk.claims(0)).wake_at == waiting.expires_at

    desk.pass_s(6)
    assert (await desk.claims()).wake_at is None

    for run in (waiting, scheduled):
        ended = (await desk.detail(run)).run
        assert (ended.status, ended.finished_at, ended.reason) == (Status.EXPIRED, desk.now, None)
        assert "expired" in ended.why
    assert {run.id for notice in desk.notices for run in notice.ended} == {waiting.id, scheduled.id}


async def test_a_run_that_was_started_in_time_does_not_expire_while_it_retries(desk) -> None:
    run = await desk.enqueue(expires_at=START + 5 * SECOND)
    await desk.retry(await desk.claim_one(), due_in_s=60)

    desk.pass_s(61)

    assert (await desk.claim_one()).run.id == run.id


async def test_runs_of_tasks_that_are_not_announced_wait_and_go_on_when_they_are(desk) -> None:
    unknown = [await desk.enqueue(task="later"), await desk.enqueue(task="later", queue="q")]
    assert await desk.claim(5) == []

    desk.needs[TaskKey("main", "later")] = 1
    await desk.store.announce(desk.needs)

    assert {claim.run.id for claim in await desk.claim(5)} == {run.id for run in unknown}


async def test_a_task_that_is_withdrawn_is_no_longer_claimed(desk) -> None:
    await desk.store.enqueue([new_run(queue=f"q{number}") for number in range(450)])
    await desk.store.announce({})

    assert await desk.claim(5) == []


async def test_a_node_gets_only_tasks_that_it_has(desk) -> None:
    await desk.enqueue(task="a")
    mine = await desk.enqueue(task="b")

    claims = await desk.claim(5, needs={TaskKey("main", "b"): 100})

    assert [claim.run.id for claim in claims] == [mine.id]


async def test_relaxed_order_passes_a_task_that_cannot_be_loaded(desk) -> None:
    await desk.enqueue(task="later", queue="q", priority=9)
    passing = await desk.enqueue(task="a", queue="q")

    assert (await desk.claim_one()).run.id == passing.id


async def test_strict_order_stops_at_a_task_that_cannot_be_loaded(open_desk) -> None:
    desk = await open_desk(rules={"q": QueueRule(order="strict")})
    first = await desk.enqueue(task="later", queue="q")
    await desk.enqueue(task="a", queue="q")
    assert await desk.claim() == []

    desk.needs[TaskKey("main", "later")] = 1
    await desk.store.announce(desk.needs)

    assert (await desk.claim_one()).run.id == first.id


async def test_apps_are_served_side_by_side(desk) -> None:
    desk.needs[TaskKey("other", "a")] = 100
    await desk.store.announce(desk.needs)
    await desk.store.enqueue([new_run(queue="q"), new_run(queue="q", app="other")])

    assert {claim.run.app for claim in await desk.claim(5)} == {"main", "other"}


async def test_orphans_are_the_attempts_that_have_not_ended(desk) -> None:
    await desk.store.enqueue([new_run(), new_run(), new_run()])
    ended, *left = await desk.claim(3)
    await desk.end(ended)

    orphans = await desk.store.orphans("node")

    assert [(each.run, each.token, each.fence) for each in orphans] == [
        (each.run, each.token, each.fence) for each in left
    ]
    assert await desk.store.orphans("elsewhere") == []
    assert len(await desk.store.orphans()) == 2
