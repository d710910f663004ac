from __future__ import annotations

import asyncio

from runner.engine.nodes.capacity import Capacity


def capacity(slots: int = 2, memory_bytes: int = 100) -> tuple[Capacity, list[None]]:
    freed: list[None] = []
    return Capacity(slots, memory_bytes, lambda: freed.append(None)), freed


async def resumes(node: Capacity, key: str) -> asyncio.Task[None]:
    task = asyncio.create_task(node.resume(key))
    await asyncio.sleep(0)
    return task


def test_attempts_take_and_give_back_slots_and_memory() -> None:
    node, freed = capacity()
    node.enter("a", 60)
    assert (node.slots_free, node.memory_free_bytes) == (1, 40)

    node.leave("a")
    assert (node.slots_free, node.memory_free_bytes) == (2, 100)
    assert freed


def test_a_parked_attempt_counts_what_it_uses_and_no_slot() -> None:
    node, _ = capacity(slots=1)
    node.enter("parent", 80)
    node.park("parent", 10)

    assert (node.slots_free, node.memory_free_bytes) == (1, 90)


def test_a_parked_attempt_never_counts_more_than_its_limit() -> None:
    node, _ = capacity()
    node.enter("parent", 80)
    node.park("parent", 500)

    assert node.memory_free_bytes == 20


def test_room_may_be_told_as_it_is_once_an_attempt_has_left() -> None:
    node, _ = capacity(slots=2, memory_bytes=100)
    node.enter("a", 60)
    node.enter("b", 30)

    rooms = [node.room({}, {}, without=key) for key in (None, "a", "b", "unknown")]

    assert [(room.slots, room.memory_bytes) for room in rooms] == [(0, 10), (1, 70), (1, 40), (0, 10)]
    assert not node.has_parked
    node.park("a", 5)
    assert node.has_parked


async def test_who_resumes_goes_ahead_of_new_attempts() -> None:
    node, _ = capacity(slots=1)
    node.enter("parent", 10)
    node.park("parent", 1)
    node.enter("child", 10)
    resuming = await resumes(node, "parent")
    assert not resuming.done()

    node.leave("child")
    await resuming
    assert node.slots_free == 0


async def test_memory_is_kept_for_who_resumes() -> None:
    node, _ = capacity(slots=5)
    node.enter("parent", 60)
    node.park("parent", 10)
    node.enter("child", 80)
    resuming = await resumes(node, "parent")

    assert node.memory_free_bytes < 0
    node.leave("child")
    await resuming
    assert node.memory_free_bytes == 40


async def test_when_all_are_parked_the_first_resumes_whatever_memory_there_is() -> None:
    node, _ = capacity(slots=5, memory_bytes=100)
    for key in ("a", "b"):
        node.enter(key, 90)
        node.park(key, 80)

    first, second = await resumes(node, "a"), await resumes(node, "b")

    assert first.done()
    assert not second.done()
    node.leave("a")
    await second
    node.leave("b")


async def test_an_attempt_that_dies_while_it_resumes_leaves_nothing() -> None:
    node, _ = capacity(slots=1)
    node.enter("parent", 10)
    node.park("parent", 1)
    node.enter("child", 10)
    resuming = await resumes(node, "parent")

    node.leave("parent")
    await asyncio.gather(resuming, return_exceptions=True)
    node.leave("child")
    assert (node.slots_free, node.memory_free_bytes) == (1, 100)


async def test_who_works_while_it_waits_takes_its_slot_whether_one_is_free_or_not() -> None:
    node, _ = capacity(slots=1)
    node.enter("parent", 60)
    node.park("parent", 10)
    node.enter("child", 50)

    assert not node.take_back("parent")  # there is no room for its memory
    assert (node.slots_free, node.memory_free_bytes) == (0, 40)
    node.leave("child")
    assert node.slots_free == 0
    assert node.take_back("parent")
    assert node.memory_free_bytes == 40


async def test_who_took_its_slot_back_resumes_once_its_memory_fits() -> None:
    node, _ = capacity(slots=1)
    node.enter("parent", 60)
    node.park("parent", 10)
    node.enter("child", 50)
    resuming = await resumes(node, "parent")
    assert not node.take_back("parent")
    assert not resuming.done()

    node.leave("child")

    await resuming
    assert (node.slots_free, node.memory_free_bytes) == (0, 40)


def test_only_so_many_are_parked_at_once() -> None:
    node = Capacity(4, 100, lambda: None, most_parked=1)
    for key in "ab":
        node.enter(key, 10)
    assert node.may_park
    node.park("a", 1)
    assert not node.may_park
    node.take_back("a")
    assert node.may_park
