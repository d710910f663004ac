"""Storing runs: all or none, once, within the limits."""

from __future__ import annotations

import pytest

from runner.domain.retry import Retry
from runner.domain.status import Status
from runner.errors import ConflictError, LimitExceededError
from runner.store.records import StoreLimits
from support.stores import START, new_run


async def test_a_stored_run_is_read_back_as_it_was_given(desk) -> None:
    new = new_run(
        parameters='{"ø": [1, null]}',
        queue="q",
        priority=-3,
        tags=("x", "ü"),
        idempotency_key="k",
        expires_at=START + 9,
        parent="p",
        replay_of="r",
        schedule="s",
        retry=Retry(attempts=7, on=("error",)),
        timeout_s=float("inf"),
    )

    (run,) = await desk.store.enqueue([new])

    detail = await desk.store.get("main", new.id)
    assert detail.run == run
    assert detail.parameters == new.parameters
    assert (detail.result, detail.error, detail.attempts, detail.progress) == (None, None, (), None)
    assert run.status is Status.QUEUED
    for name in (
        "app",
        "id",
        "task",
        "queue",
        "priority",
        "tags",
        "idempotency_key",
        "parent",
        "replay_of",
        "schedule",
    ):
        assert getattr(run, name) == getattr(new, name)
    assert (run.retry, run.timeout_s, run.due_at, run.expires_at) == (new.retry, new.timeout_s, START, START + 9)
    assert (run.attempt_count, run.failures, run.losses, run.started_at, run.finished_at) == (0, 0, 0, None, None)


async def test_a_run_that_is_due_later_is_scheduled(desk) -> None:
    assert (await desk.enqueue(due_at=START + 1)).status is Status.SCHEDULED


async def test_runs_are_returned_in_the_order_given(desk) -> None:
    new = [new_run(queue=f"q{number % 3}") for number in range(20)]

    stored = await desk.store.enqueue(new)

    assert [run.id for run in stored] == [run.id for run in new]


async def test_an_id_that_is_stored_is_returned_as_it_stands(desk) -> None:
    first = await desk.enqueue(id="same")
    await desk.store.cancel("main", "same", desk.now)

    again = await desk.enqueue(id="same", parameters='{"other": 1}')

    assert again.status is Status.CANCELLED
    assert (await desk.detail(first)).parameters == "{}"
    assert sum((await desk.store.count("main")).values()) == 1


async def test_one_id_in_two_apps_is_two_runs(desk) -> None:
    await desk.enqueue(id="same")
    other = await desk.enqueue(id="same", app="other")

    assert other.app == "other"
    assert await desk.store.count("main") == await desk.store.count("other") == {Status.QUEUED: 1}


async def test_one_idempotency_key_makes_one_run_whatever_the_order_of_the_parameters(desk) -> None:
    first = await desk.enqueue(idempotency_key="k", parameters='{"a": 1, "b": 2}')

    assert await desk.enqueue(idempotency_key="k", parameters='{"b":2,"a":1}') == first


async def test_an_idempotency_key_with_other_parameters_is_a_conflict_that_stores_nothing(desk) -> None:
    await desk.enqueue(idempotency_key="k", parameters='{"a": 1}')

    with pytest.raises(ConflictError, match="'k'"):
        await desk.store.enqueue([new_run(), new_run(idempotency_key="k", parameters='{"a": true}')])

    assert await desk.store.count("main") == {Status.QUEUED: 1}


async def test_idempotency_keys_count_for_each_task_and_app_apart(desk) -> None:
    runs = [await desk.enqueue(idempotency_key="k", task=task, app=app) for task in "ab" for app in ("main", "other")]

    assert len({(run.app, run.id) for run in runs}) == 4


async def test_an_idempotency_key_holds_until_its_run_is_pruned(desk) -> None:
    first = await desk.enqueue(idempotency_key="k")
    await desk.end(await desk.claim_one())
    assert (await desk.enqueue(idempotency_key="k")).id == first.id

    await desk.store.prune(finished_before=desk.now + 1, logs_before=0)

    assert (await desk.enqueue(idempotency_key="k")).id != first.id


@pytest.mark.parametrize(
    ("limits", "options"),
    [
        (StoreLimits(waiting_per_app=3), {}),
        (StoreLimits(waiting_per_queue=3), {"queue": "q"}),
        (StoreLimits(waiting_per_queue=3), {}),
        (StoreLimits(children_per_run=3), {"parent": "run"}),
    ],
    ids=["app", "queue", "task without queue", "children"],
)
async def test_above_a_limit_all_are_refused_and_none_is_stored(open_desk, limits, options) -> None:
    desk = await open_desk(limits=limits)
    if "parent" in options:
        await desk.enqueue(id="run")
    await desk.store.enqueue([new_run(**options), new_run(**options)])
    before = await desk.store.count("main")

    with pytest.raises(LimitExceededError, match="3"):
        await desk.store.enqueue([new_run(**options), new_run(**options)])

    assert await desk.store.count("main") == before
    await desk.store.enqueue([new_run(**options)])


async def test_runs_that_ended_no_longer_count_as_waiting(open_desk) -> None:
    desk = await open_desk(limits=StoreLimits(waiting_per_app=1, waiting_per_queue=1))
    for _ in range(3):
        await desk.enqueue(queue="q")
        await desk.end(await desk.claim_one())


async def test_a_repeated_call_is_not_refused_by_the_limit_it_reached(open_desk) -> None:
    desk = await open_desk(limits=StoreLimits(waiting_per_app=1))
    new = new_run()

    assert await desk.store.enqueue([new]) == await desk.store.enqueue([new])


async def test_children_are_counted_when_they_are_gone_too(open_desk) -> None:
    desk = await open_desk(limits=StoreLimits(children_per_run=2))
    parent = await desk.enqueue()
    for _ in range(2):
        child = await desk.enqueue(parent=parent.id)
        await desk.store.delete("main", child.id)
    assert await desk.store.count("main") == {Status.QUEUED: 1}

    with pytest.raises(LimitExceededError):
        await desk.enqueue(parent=parent.id)
    assert await desk.store.count("main") == {Status.QUEUED: 1}


async def test_storing_nothing_is_fine(desk) -> None:
    assert await desk.store.enqueue([]) == []
