"""Several nodes on one database: what each relies on while the others do the same."""

from __future__ import annotations

import asyncio
import collections

import pytest

from runner.domain.options.queue_rule import QueueRule
from runner.domain.run import LogLine
from runner.domain.status import Reason, Status
from runner.store.records import Firing, Room, ScheduleState
from support.stores import SECOND, START, PostgresBackend, desk_at, new_run, node_info
from support.waiting import eventually_async

RULES = {"wide": QueueRule(concurrency=3), "strict": QueueRule(order="strict")}


@pytest.fixture
async def open_desks(tmp_path):
    """Desks at stores of one database, each with a node of its own."""
    backend = PostgresBackend(tmp_path)
    stores = []

    async def opened(count: int, **options):
        desks = []
        for number in range(count):
            store = backend.store(**options)
            await store.open()
            stores.append(store)
            desk = await desk_at(store)
            await store.register(node_info(f"node-{number}"))
            await store.announce(desk.needs)
            desks.append(desk)
        return desks

    yield opened
    for store in stores:
        await store.close()
    backend.remove()


async def test_nodes_that_claim_and_enqueue_at_once_lose_no_run_and_never_overlap(open_desks) -> None:
    desks = await open_desks(3, rules=RULES)
    queues = [None, "wide", "strict", *(f"q{number}" for number in range(12))]
    total, running = 600, collections.Counter()
    overlaps: list[str] = []

    async def enqueue(desk, numbers) -> None:
        for number in numbers:
            await desk.store.enqueue([new_run(queue=queues[number % len(queues)], task="abc"[number % 3])])

    async def work(number, desk) -> None:
        retried: set[str] = set()
        while (await desk.store.count("main")).get(Status.SUCCEEDED, 0) < total:
            got = await desk.store.claim(f"node-{number}", _room(desk), START)
            for claim in got.claims:
                running[claim.run.queue] += 1
                if claim.run.queue and running[claim.run.queue] > RULES.get(claim.run.queue, QueueRule()).concurrency:
                    overlaps.append(claim.run.queue)
            await asyncio.sleep(0)
            for place, claim in enumerate(got.claims):
                running[claim.run.queue] -= 1
                if place % 5 == 0 and claim.run.id not in retried:
                    retried.add(claim.run.id)
                    await desk.retry(claim, reason=Reason.CRASH)
                else:
                    await desk.end(claim)

    async with asyncio.timeout(120):
        await asyncio.gather(
            *(work(number, desk) for number, desk in enumerate(desks)),
            *(enqueue(desk, range(number, total, 6)) for number, desk in enumerate(desks * 2)),
        )

    assert overlaps == []
    assert await desks[0].store.count("main") == {Status.SUCCEEDED: total}


def _room(desk, slots=4):
    return Room(slots=slots, memory_bytes=10_000, memory_total_bytes=10_000, needs=desk.needs)


async def test_a_new_run_wakes_the_other_nodes(open_desks) -> None:
    one, other = await open_desks(2)
    other.notices.clear()

    await one.enqueue(queue="q")

    await eventually_async(lambda: any(notice.ready for notice in other.notices), within_s=2)


async def test_what_ends_is_asked_to_end_or_logs_on_one_node_is_told_on_the_others(open_desks) -> None:
    one, other = await open_desks(2)
    await one.store.enqueue([new_run() for _ in range(150)])
    claims = await one.claim(150, memory=10**6)

    await one.store.append_logs("main", claims[0].run.id, [LogLine(attempt=1, at=START, stream="stdout", text="x")])
    await one.store.cancel("main", claims[0].run.id, START + 1)
    for claim in claims[1:]:
        await one.end(claim)

    def heard(kind) -> set:
        return {getattr(each, "id", each) for notice in other.notices for each in getattr(notice, kind)}

    await eventually_async(lambda: heard("ended") == {claim.run.id for claim in claims[1:]})
    assert heard("cancelling") == heard("logged") == {claims[0].run.id}


async def test_all_nodes_share_what_comes_due(open_desks) -> None:
    desks = await open_desks(3)
    await desks[0].store.enqueue(
        [new_run(due_at=START + SECOND, queue=f"q{number % 40}" if number % 2 else None) for number in range(900)]
    )
    for desk in desks:
        desk.pass_s(1)

    while (await desks[0].store.count("main")).get(Status.SCHEDULED):
        await asyncio.gather(*(desk.claims(0) for desk in desks))

    assert await desks[0].store.count("main") == {Status.QUEUED: 900}
    assert len(await desks[0].claim(200, memory=10**6)) == 200


async def test_a_schedule_fires_once_however_many_nodes_see_it_due(open_desks) -> None:
    desks = await open_desks(3)
    schedule = ScheduleState(app="main", name="s", task="a", rule="every 1d", next_at=START)
    await asyncio.gather(*(desk.store.put_schedules([schedule], START) for desk in desks))

    fired = await asyncio.gather(
        *(
            desk.store.fire(Firing(app="main", name="s", due_at=START, next_at=START + 9, run=new_run()))
            for desk in desks * 5
        )
    )

    assert sum(run is not None for run in fired) == 1


async def test_two_nodes_store_one_run_under_one_idempotency_key(open_desks) -> None:
    desks = await open_desks(2)

    runs = await asyncio.gather(*(desk.enqueue(idempotency_key="k", queue="q") for desk in desks * 10))

    assert len({run.id for run in runs}) == 1
