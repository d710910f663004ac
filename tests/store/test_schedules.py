"""Schedules fire exactly once; tokens act for one app."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from runner.domain.status import Status
from runner.errors import LimitExceededError
from runner.store.records import Firing, ScheduleState, StoreLimits
from support.stores import START, new_run

NIGHTLY = ScheduleState(app="main", name="nightly", task="a", rule="every 1d", next_at=START)


def _firing(**options) -> Firing:
    return Firing(
        **{"app": "main", "name": "nightly", "due_at": START, "next_at": START + 9, "run": new_run(), **options}
    )


async def test_a_firing_makes_its_run_and_moves_on(desk) -> None:
    await desk.store.put_schedules([NIGHTLY])

    run = await desk.store.fire(_firing())

    assert run is not None
    assert (await desk.claim_one()).run.id == run.id
    (state,) = await desk.store.schedules("main")
    assert (state.next_at, state.last_at, state.last_run) == (START + 9, START, run.id)


async def test_of_many_firings_for_one_instant_one_counts(desk) -> None:
    await desk.store.put_schedules([NIGHTLY])

    fired = await asyncio.gather(*(desk.store.fire(_firing()) for _ in range(20)))

    assert sum(run is not None for run in fired) == 1
    assert await desk.store.count("main") == {Status.QUEUED: 1}


async def test_a_skipped_firing_moves_on_without_a_run(desk) -> None:
    await desk.store.put_schedules([NIGHTLY])

    assert await desk.store.fire(_firing(run=None)) is None

    (state,) = await desk.store.schedules()
    assert (state.next_at, state.last_at, state.last_run) == (START + 9, START, None)


async def test_a_schedule_that_is_gone_does_not_fire(desk) -> None:
    await desk.store.put_schedules([NIGHTLY])
    await desk.store.put_schedules([])

    assert await desk.store.fire(_firing()) is None
    assert await desk.store.count("main") == {}


async def test_a_firing_that_is_refused_does_not_move_the_schedule(open_desk) -> None:
    desk = await open_desk(limits=StoreLimits(waiting_per_app=0))
    await desk.store.put_schedules([NIGHTLY])

    with pytest.raises(LimitExceededError):
        await desk.store.fire(_firing())

    assert await desk.store.schedules() == [NIGHTLY]


async def test_an_unchanged_rule_keeps_its_times_and_a_changed_one_begins_anew(desk) -> None:
    await desk.store.put_schedules([NIGHTLY])
    run = await desk.store.fire(_firing())

    fresh = ScheduleState(app="main", name="nightly", task="b", rule="every 1d", next_at=START + 500)
    await desk.store.put_schedules([fresh])
    (kept,) = await desk.store.schedules()
    assert (kept.next_at, kept.last_run, kept.task) == (START + 9, run.id, "b")

    await desk.store.put_schedules(
        [ScheduleState(app="main", name="nightly", task="b", rule="every 2d", next_at=START + 500)]
    )
    (changed,) = await desk.store.schedules()
    assert (changed.next_at, changed.rule) == (START + 500, "every 2d")


async def test_schedules_are_listed_by_name_for_one_app_or_all(desk) -> None:
    await desk.store.put_schedules(
        [
            ScheduleState(app=app, name=name, task="a", rule="r", next_at=None)
            for app, name in [("z", "b"), ("main", "c"), ("main", "a")]
        ]
    )

    assert [(state.app, state.name) for state in await desk.store.schedules()] == [
        ("main", "a"),
        ("main", "c"),
        ("z", "b"),
    ]
    assert [state.name for state in await desk.store.schedules("z")] == ["b"]


async def test_a_token_acts_for_its_app_and_an_unknown_one_for_none(desk) -> None:
    digest = hashlib.sha256(b"secret").digest()
    await desk.store.put_token(digest, "main", "cli", START)
    await desk.store.put_token(digest, "main", "cli", START)

    assert await desk.store.token_app(digest) == "main"
    assert await desk.store.token_app(hashlib.sha256(b"guess").digest()) is None
