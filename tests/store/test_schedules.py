"""Schedules fire exactly once; tokens act for one app."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib

import pytest

from runner.domain.status import Status
from runner.errors import LimitExceededError
from runner.store.records import Firing, ScheduleState, StoreLimits
from support.stores import SECOND, START, new_run

NIGHTLY = ScheduleState(app="main", name="nightly", task="a", rule="every 1d", next_at=START)
MINUTE = 60 * SECOND
PATIENCE = {"silent_us": 3 * MINUTE, "forgotten_us": 5 * MINUTE}


def declared(state: ScheduleState, at: int) -> ScheduleState:
    return dataclasses.replace(state, declared_at=at)


def _firing(**options) -> Firing:
    return Firing(
        **{"app": "main", "name": "nightly", "due_at": START, "next_at": START + 9, "run": new_run(), **options}
    )


async def test_a_firing_makes_its_run_and_moves_on(desk) -> None:
    await desk.store.put_schedules([NIGHTLY], START)

    run = await desk.store.fire(_firing())

    assert run is not None
    assert (await desk.claim_one()).run.id == run.id
    (state,) = await desk.store.schedules("main")
    assert (state.next_at, state.last_at, state.last_run) == (START + 9, START, run.id)


async def test_of_many_firings_for_one_instant_one_counts(desk) -> None:
    await desk.store.put_schedules([NIGHTLY], START)

    fired = await asyncio.gather(*(desk.store.fire(_firing()) for _ in range(20)))

    assert sum(run is not None for run in fired) == 1
    assert await desk.store.count("main") == {Status.QUEUED: 1}


async def test_a_skipped_firing_moves_on_without_a_run(desk) -> None:
    await desk.store.put_schedules([NIGHTLY], START)

    assert await desk.store.fire(_firing(run=None)) is None

    (state,) = await desk.store.schedules()
    assert (state.next_at, state.last_at, state.last_run) == (START + 9, START, None)


async def test_a_schedule_that_is_gone_does_not_fire(desk) -> None:
    await desk.store.put_schedules([NIGHTLY], START)
    await desk.store.keep_schedules([], START + 1, silent_us=0, forgotten_us=0)

    assert await desk.store.fire(_firing()) is None
    assert await desk.store.count("main") == {}


async def test_a_firing_that_is_refused_does_not_move_the_schedule(open_desk) -> None:
    desk = await open_desk(limits=StoreLimits(waiting_per_app=0))
    await desk.store.put_schedules([NIGHTLY], START)

    with pytest.raises(LimitExceededError):
        await desk.store.fire(_firing())

    assert await desk.store.schedules() == [declared(NIGHTLY, START)]


async def test_an_unchanged_rule_keeps_its_times_and_a_changed_one_begins_anew(desk) -> None:
    await desk.store.put_schedules([NIGHTLY], START)
    run = await desk.store.fire(_firing())

    fresh = ScheduleState(app="main", name="nightly", task="b", rule="every 1d", next_at=START + 500)
    await desk.store.put_schedules([fresh], START)
    (kept,) = await desk.store.schedules()
    assert (kept.next_at, kept.last_run, kept.task) == (START + 9, run.id, "b")

    await desk.store.put_schedules(
        [ScheduleState(app="main", name="nightly", task="b", rule="every 2d", next_at=START + 500)], START
    )
    (changed,) = await desk.store.schedules()
    assert (changed.next_at, changed.rule) == (START + 500, "every 2d")


async def test_a_schedule_stays_as_long_as_one_of_several_nodes_declares_it(desk) -> None:
    weekly = dataclasses.replace(NIGHTLY, name="weekly")
    await desk.store.put_schedules([NIGHTLY, weekly], START)

    for minute in range(1, 9):  # one node has both, another one only the first
        await desk.store.keep_schedules([NIGHTLY], START + minute * MINUTE, **PATIENCE)
        if minute <= 4:
            await desk.store.keep_schedules([NIGHTLY, weekly], START + minute * MINUTE, **PATIENCE)
            assert [state.name for state in await desk.store.schedules()] == ["nightly", "weekly"]

    assert await desk.store.schedules() == [declared(NIGHTLY, START + 8 * MINUTE), declared(weekly, START + 4 * MINUTE)]
    await desk.store.keep_schedules([NIGHTLY], START + 9 * MINUTE, **PATIENCE)
    await desk.store.keep_schedules([NIGHTLY], START + 10 * MINUTE, **PATIENCE)
    assert [state.name for state in await desk.store.schedules()] == ["nightly"]


async def test_a_time_in_which_no_node_ran_makes_no_schedule_forgotten(desk) -> None:
    weekly = dataclasses.replace(NIGHTLY, name="weekly")
    await desk.store.put_schedules([NIGHTLY, weekly], START)

    await desk.store.keep_schedules([NIGHTLY], START + 1000 * MINUTE, **PATIENCE)
    await desk.store.keep_schedules([weekly], START + 1000 * MINUTE + 1, **PATIENCE)

    assert len(await desk.store.schedules()) == 2


async def test_the_rule_declared_last_stands_until_whoever_declared_it_keeps_silent(desk) -> None:
    newer = dataclasses.replace(NIGHTLY, rule="every 2d", next_at=START + 7)
    await desk.store.put_schedules([NIGHTLY], START)
    await desk.store.put_schedules([newer], START + 1)

    for minute in range(1, 4):  # the older node goes on telling what it knows, and so does the newer one
        await desk.store.keep_schedules([NIGHTLY], START + minute * MINUTE, **PATIENCE)
        [stored] = await desk.store.schedules()
        assert (stored.rule, stored.next_at) == ("every 2d", START + 7)
        await desk.store.keep_schedules([newer], START + minute * MINUTE, **PATIENCE)

    await desk.store.keep_schedules([NIGHTLY], START + 5 * MINUTE, **PATIENCE)
    assert (await desk.store.schedules())[0].rule == "every 2d"
    await desk.store.keep_schedules([NIGHTLY], START + 6 * MINUTE + 1, **PATIENCE)
    assert await desk.store.schedules() == [declared(NIGHTLY, START + 6 * MINUTE + 1)]


async def test_schedules_are_listed_by_name_for_one_app_or_all(desk) -> None:
    await desk.store.put_schedules(
        [
            ScheduleState(app=app, name=name, task="a", rule="r", next_at=None)
            for app, name in [("z", "b"), ("main", "c"), ("main", "a")]
        ],
        START,
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


async def test_one_schedule_is_found_by_its_app_and_name(desk) -> None:
    other = dataclasses.replace(NIGHTLY, app="other", next_at=START + 1)
    await desk.store.put_schedules([NIGHTLY, other, dataclasses.replace(NIGHTLY, name="weekly")], START)

    assert await desk.store.schedule("main", "nightly") == declared(NIGHTLY, START)
    assert await desk.store.schedule("other", "nightly") == declared(other, START)
    assert await desk.store.schedule("other", "weekly") is None


async def test_a_schedule_is_set_to_another_time_only_from_the_one_that_was_seen(desk) -> None:
    await desk.store.put_schedules([NIGHTLY], START)

    await desk.store.reschedule("main", "nightly", seen=START + 1, next_at=START + 5)
    assert (await desk.store.schedules())[0].next_at == START
    await desk.store.reschedule("main", "nightly", seen=START, next_at=START - 5)
    assert (await desk.store.schedules())[0].next_at == START - 5


async def test_what_a_clock_that_was_ahead_declared_makes_no_other_schedule_forgotten(desk) -> None:
    weekly = dataclasses.replace(NIGHTLY, name="weekly")
    gone = dataclasses.replace(NIGHTLY, name="gone")
    await desk.store.put_schedules([gone], START + 1000 * MINUTE)
    await desk.store.keep_schedules([weekly], START, **PATIENCE)

    await desk.store.keep_schedules([NIGHTLY], START + 1, **PATIENCE)

    assert [state.name for state in await desk.store.schedules()] == ["gone", "nightly", "weekly"]


async def test_a_rule_that_a_clock_that_was_ahead_declared_does_not_stand(desk) -> None:
    await desk.store.put_schedules([NIGHTLY], START + 1000 * MINUTE)
    newer = dataclasses.replace(NIGHTLY, rule="every 2d")

    await desk.store.keep_schedules([newer], START, **PATIENCE)

    assert await desk.store.schedules() == [declared(newer, START)]
