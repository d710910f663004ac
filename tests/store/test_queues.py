"""Queues: one at a time by constraint, strict and relaxed order, rate, pause, purge, release."""

from __future__ import annotations

import pytest

from runner.domain.options.queue_rule import QueueRule
from runner.domain.status import Status
from runner.errors import ConflictError
from runner.store.postgres import database as postgres
from runner.store.sqlite import statements as sqlite
from support.stores import SECOND, START, new_run

STRICT = {"q": QueueRule(order="strict")}


async def test_a_queue_runs_one_at_a_time(desk) -> None:
    await desk.store.enqueue([new_run(queue="q", task=task) for task in "aabbcc"])

    for _ in range(6):
        (claim,) = await desk.claim(5)
        assert await desk.claim(5) == []
        await desk.end(claim)


async def test_a_second_holder_is_refused_by_the_database_itself(desk, backend) -> None:
    await desk.store.enqueue([new_run(queue="q"), new_run(queue="q")])
    await desk.claim_one()
    ((waiting,),) = backend.sql("SELECT seq FROM runs WHERE status = 'queued'")

    for slot in (0, 1):
        with pytest.raises(backend.Refused):
            backend.sql(
                "INSERT INTO holders (app, queue, slot, run, since) VALUES ('main', 'q', ?, ?, 0)", (slot, waiting)
            )
    with pytest.raises(backend.Refused):
        backend.sql(
            "UPDATE runs SET status = 'running', ready = NULL, attempt_count = 1, started_at = 1 WHERE seq = ?",
            (waiting,),
        )


async def test_a_running_run_cannot_lose_its_slot_even_to_raw_sql(desk, backend) -> None:
    await desk.enqueue(queue="q")
    await desk.claim_one()

    with pytest.raises(backend.Refused):
        backend.sql("DELETE FROM holders")


async def test_a_queue_may_run_as_many_at_once_as_its_rule_says(open_desk) -> None:
    desk = await open_desk(rules={"q": QueueRule(concurrency=3)})
    await desk.store.enqueue([new_run(queue="q") for _ in range(9)])

    first = await desk.claim(9)
    assert len(first) == 3
    await desk.end(first[1])
    (following,) = await desk.claim(9)

    assert {holder.slot for holder in (await desk.store.queue("main", "q")).holders} == {0, 1, 2}
    assert following.run.id not in {claim.run.id for claim in first}


async def test_relaxed_order_lets_others_go_while_a_run_retries(desk) -> None:
    first = await desk.enqueue(queue="q")
    second = await desk.enqueue(queue="q")
    await desk.retry(await desk.claim_one(), due_in_s=10)

    claim = await desk.claim_one()
    assert claim.run.id == second.id
    desk.pass_s(10)
    assert await desk.claim() == []
    await desk.end(claim)

    assert (await desk.claim_one()).run.id == first.id


async def test_strict_order_keeps_the_place_of_a_run_that_retries(open_desk) -> None:
    desk = await open_desk(rules=STRICT)
    first = await desk.enqueue(queue="q")
    await desk.retry(await desk.claim_one(), due_in_s=10)
    await desk.enqueue(queue="q", priority=100)
    await desk.enqueue(queue="q", task="b", priority=100)

    assert await desk.claim(5) == []
    assert [holder.run for holder in (await desk.store.queue("main", "q")).holders] == [first.id]
    desk.pass_s(10)
    again = await desk.claim_one()
    assert (again.run.id, again.attempt) == (first.id, 2)
    await desk.end(again)

    assert (await desk.claim_one()).run.priority == 100


async def test_cancelling_a_run_that_retries_frees_its_strict_queue(open_desk) -> None:
    desk = await open_desk(rules=STRICT)
    first = await desk.enqueue(queue="q")
    await desk.retry(await desk.claim_one(), due_in_s=10)
    following = await desk.enqueue(queue="q")

    await desk.store.cancel("main", first.id, desk.now)

    assert (await desk.claim_one()).run.id == following.id


async def test_releasing_frees_the_slot_of_a_run_that_retries(open_desk) -> None:
    desk = await open_desk(rules=STRICT)
    await desk.enqueue(queue="q")
    await desk.retry(await desk.claim_one(), due_in_s=10)
    following = await desk.enqueue(queue="q")

    assert await desk.store.release("main", "q") == 1

    assert (await desk.claim_one()).run.id == following.id
    with pytest.raises(ConflictError, match=following.id):
        await desk.store.release("main", "q")
    assert await desk.store.release("main", "never used") == 0


async def test_the_rate_keeps_a_queue_shut_between_two_starts(open_desk) -> None:
    desk = await open_desk(rules={"q": QueueRule(concurrency=9, rate="1/s")})
    await desk.store.enqueue([new_run(queue="q") for _ in range(3)])

    assert len(await desk.claim(9)) == 1
    shut = await desk.claims(9)
    assert (shut.claims, shut.wake_at) == ((), START + SECOND)
    assert (await desk.store.queue("main", "q")).opens_at == START + SECOND

    desk.pass_s(1)
    assert len(await desk.claim(9)) == 1


async def test_a_paused_queue_starts_nothing_until_it_is_resumed(desk) -> None:
    await desk.store.enqueue([new_run(queue="q"), new_run(queue="q")])
    running = await desk.claim_one()

    assert (await desk.store.pause("main", "q", desk.now)).paused_at == desk.now
    await desk.end(running)
    await desk.enqueue(queue="q", priority=9)
    assert await desk.claim() == []

    state = await desk.store.resume("main", "q")
    assert (state.paused_at, state.waiting) == (None, 2)
    assert len(await desk.claim(9)) == 1


async def test_pausing_twice_keeps_the_first_instant(desk) -> None:
    await desk.store.pause("main", "q", START)

    assert (await desk.store.pause("main", "q", START + 5)).paused_at == START


async def test_a_name_that_was_never_used_can_be_paused_before_its_first_run(desk) -> None:
    await desk.store.pause("main", "q", desk.now)
    await desk.enqueue(queue="q")

    assert await desk.claim() == []


async def test_purging_cancels_what_waits_and_nothing_else(desk) -> None:
    await desk.store.enqueue([new_run(queue="q", task="abc"[number % 3]) for number in range(250)])
    await desk.store.enqueue([new_run(queue="q", due_at=START + SECOND) for _ in range(250)])
    other = await desk.enqueue(queue="other")
    running = await desk.claim_one()

    assert await desk.store.purge("main", "q", desk.now) == 499

    assert await desk.status(running.run) is Status.RUNNING
    assert await desk.status(other) is Status.QUEUED
    assert await desk.store.count("main") == {Status.RUNNING: 1, Status.QUEUED: 1, Status.CANCELLED: 499}
    assert len({run.id for notice in desk.notices for run in notice.ended}) == 499


async def test_a_queue_tells_how_it_stands(open_desk) -> None:
    desk = await open_desk(rules={"q": QueueRule(concurrency=2, rate=None)})
    await desk.store.enqueue([new_run(queue="q"), new_run(queue="q", task="b"), new_run(queue="q", due_at=START + 9)])
    claim = await desk.claim_one()

    state = await desk.store.queue("main", "q")

    assert (state.app, state.name, state.rule) == ("main", "q", QueueRule(concurrency=2))
    assert (state.waiting, state.scheduled) == (1, 1)
    (holder,) = state.holders
    assert (holder.run, holder.task, holder.slot, holder.since) == (claim.run.id, "a", 0, START)


async def test_a_queue_that_is_done_is_like_one_that_was_never_used(desk, backend) -> None:
    for number in range(20):
        await desk.enqueue(queue=f"q{number}")
        await desk.end(await desk.claim_one())

    assert (await desk.store.queues("main")).items == ()
    assert (await desk.store.queue("main", "q1")) == (await desk.store.queue("main", "never")).__class__(
        app="main",
        name="q1",
        rule=QueueRule(),
        waiting=0,
        scheduled=0,
        paused_at=None,
        opens_at=None,
    )
    assert backend.sql("SELECT (SELECT count(*) FROM queues) + (SELECT count(*) FROM lanes)") == [(0,)]


async def test_queues_are_listed_by_name_in_pages(desk) -> None:
    names = [f"q{number:02d}" for number in range(7)]
    await desk.store.enqueue([new_run(queue=name) for name in reversed(names)])

    found, cursor = [], None
    while True:
        page = await desk.store.queues("main", cursor, limit=3)
        found += [state.name for state in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert found == names


async def test_a_rule_that_is_as_it_was_is_not_written_again(open_desk, monkeypatch) -> None:
    rules = {"slow": QueueRule(concurrency=2, rate="7/m"), "strict": QueueRule(order="strict")}
    desk = await open_desk(rules=rules)
    await desk.store.enqueue([new_run(queue=queue) for queue in rules])
    await desk.store.close()
    for statements in (sqlite.SQL, postgres.SQL):
        monkeypatch.setitem(statements, "update_queue_rule", "this is no statement")

    desk = await open_desk(rules=rules)

    assert {queue: (await desk.store.queue("main", queue)).rule for queue in rules} == rules
    await desk.store.close()
    with pytest.raises(Exception, match="this"):
        await open_desk(rules={})


async def test_new_rules_count_from_the_next_opening_on(backend, open_desk) -> None:
    desk = await open_desk(rules=STRICT)
    await desk.store.enqueue([new_run(queue="q") for _ in range(3)])
    await desk.retry(await desk.claim_one(), due_in_s=60)
    await desk.store.close()

    desk = await open_desk(rules={"q": QueueRule(concurrency=2)})

    assert len(await desk.claim(9)) == 2
