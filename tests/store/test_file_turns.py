"""Slots go round among files of tasks: however many tasks one has, it has its turn and no more (attack 90)."""

from __future__ import annotations

import pytest

from runner.store.records import TaskKey
from support.stores import new_run

MANY = [f"many.t{number}" for number in range(40)]


@pytest.fixture
async def crowded(open_desk):
    """A desk where 40 tasks of one file have three runs each, all of the highest priority, before others come."""
    desk = await open_desk(tasks=dict.fromkeys([*MANY, "hello", "other"], 1))
    await desk.store.enqueue([new_run(task=task, priority=1_000_000) for task in MANY for _ in range(3)])
    return desk


def by_file(*tasks):
    return {TaskKey("main", task): f"tasks/{task.partition('.')[0]}.py" for task in tasks}


FILES = by_file(*MANY, "hello", "other")


async def files(desk, slots):
    return [claimed.run.task.partition(".")[0] for claimed in await desk.claim(slots, files=FILES)]


async def test_a_file_of_many_tasks_takes_its_turn(crowded):
    assert await files(crowded, 5) == ["many"] * 5
    for task in ("hello", "other") * 2:
        await crowded.enqueue(task=task, priority=-1_000_000)

    assert sorted(await files(crowded, 3)) == ["hello", "many", "other"]
    assert sorted(await files(crowded, 3)) == ["hello", "many", "other"]
    assert await files(crowded, 5) == ["many"] * 5


async def test_it_does_so_where_each_slot_is_claimed_by_itself(crowded):
    for task in ("hello", "other") * 2:
        await crowded.enqueue(task=task)

    assert sorted([(await files(crowded, 1))[0] for _ in range(6)]) == [
        "hello",
        "hello",
        "many",
        "many",
        "other",
        "other",
    ]


async def test_it_does_so_where_the_slot_of_an_attempt_is_filled_with_its_end(crowded):
    [running] = await crowded.claim(1, files=FILES)
    await crowded.enqueue(task="hello")

    _, [following] = await crowded.end_and_claim(running, files=FILES)

    assert following.run.task == "hello"


async def test_within_a_file_tasks_and_queues_take_turns(open_desk):
    desk = await open_desk(tasks={"same.a": 1, "same.b": 1})
    for _ in range(3):
        await desk.enqueue(task="same.a")
        await desk.enqueue(task="same.b", queue="q1")
        await desk.enqueue(task="same.b", queue="q2")

    claims = await desk.claim(3, files=by_file("same.a", "same.b"))

    assert sorted((each.run.task, each.run.queue) for each in claims) == [
        ("same.a", None),
        ("same.b", "q1"),
        ("same.b", "q2"),
    ]
