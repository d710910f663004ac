"""A claim costs the same with 200 runs waiting as with 40,000 in 4,000 queues that are held or paused."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest

from runner.domain.status import Status
from support.stores import BACKENDS, desk_at, new_run

OPEN = [f"open:{number}" for number in range(20)]
HELD = [f"held:{number}" for number in range(2_000)]
PAUSED = [f"paused:{number}" for number in range(1_980)]
RUNS_PER_QUEUE = 10


async def _enqueue(desk, queues, **options) -> None:
    for part in _parts(queues, 2000):
        await desk.store.enqueue([new_run(queue=queue, **options) for queue in part])


def _parts(items, size):
    return (items[begin : begin + size] for begin in range(0, len(items), size))


async def _block(desk) -> None:
    """Churn through 40,000 runs, then let as many wait behind holders and pauses."""
    everywhere = [queue for queue in HELD + PAUSED for _ in range(RUNS_PER_QUEUE)]
    await asyncio.gather(*(desk.store.pause("main", queue, desk.now) for queue in PAUSED))
    await _enqueue(desk, HELD)
    while await desk.claim(1000, memory=10**9):
        pass
    await _enqueue(desk, everywhere)
    await asyncio.gather(*(desk.store.purge("main", queue, desk.now) for queue in HELD + PAUSED))
    await _enqueue(desk, everywhere)


async def _timed_claim(desk) -> float:
    begin = time.perf_counter()
    claim = await desk.claim_one()
    took = time.perf_counter() - begin
    await desk.end(claim)
    await desk.enqueue(queue=claim.run.queue)
    return took


@pytest.mark.alone
@pytest.mark.parametrize("kind", sorted(BACKENDS))
async def test_a_claim_costs_the_same_however_many_runs_wait_behind_others(kind, tmp_path) -> None:
    desks, stores, backends = [], [], []
    for name in ("few", "many"):
        folder = tmp_path / name
        folder.mkdir()
        backends.append(backend := BACKENDS[kind](folder))
        stores.append(store := backend.store())
        await store.open()
        desks.append(await desk_at(store))
    few, many = desks
    try:
        # Both have a reader that stays: what it costs to append to a log that cannot be folded back is the disk's.
        with backends[0].pinned_snapshot(), backends[1].pinned_snapshot():
            await _block(many)
            for desk in desks:
                await _enqueue(desk, OPEN * RUNS_PER_QUEUE)
            assert (await few.store.count("main"))[Status.QUEUED] == 200
            assert (await many.store.count("main"))[Status.QUEUED] == 40_000

            rounds = [[(await _timed_claim(few), await _timed_claim(many)) for _ in range(100)] for _ in range(3)]
    finally:
        for store in stores:
            await store.close()
    # The machine may be busy with something else for a while: the quietest round counts.
    with_few, with_many = (
        min(statistics.median(times[which] for times in each) for each in rounds) for which in (0, 1)
    )
    assert with_many <= 1.5 * with_few, f"{with_few * 1e6:.0f} µs with few, {with_many * 1e6:.0f} µs with many"
