"""Who scheduled a run counts: for its idempotency key, for its id, and for how much may wait. Attack 85."""

from __future__ import annotations

import pytest

from runner.domain.options.run_filter import RunFilter
from runner.domain.status import Status
from runner.errors import ConflictError, LimitExceededError
from runner.store.records import StoreLimits
from support.stores import SECOND, START, Desk, new_run


def _inside(by: str = "evil", **options: object):
    return new_run(**{"scheduled_by": by, "parent": f"run of {by}", **options})


async def test_a_key_counts_for_each_scheduling_task_and_for_outside_apart(desk: Desk) -> None:
    """Attack 85: a task occupies the keys of others."""
    (occupied,) = await desk.store.enqueue([_inside("evil", idempotency_key="order 7", parameters='{"paid": true}')])
    (other,) = await desk.store.enqueue([_inside("shop", idempotency_key="order 7")])
    outside = await desk.enqueue(idempotency_key="order 7")

    assert len({occupied.id, other.id, outside.id}) == 3
    assert (await desk.store.enqueue([_inside("shop", idempotency_key="order 7")]))[0].id == other.id
    assert (await desk.enqueue(idempotency_key="order 7")).id == outside.id
    with pytest.raises(ConflictError, match=f"was used by run {occupied.id} with other parameters"):
        await desk.store.enqueue([_inside("evil", idempotency_key="order 7")])


@pytest.mark.parametrize("change", [{"parent": "run of evil"}, {"task": "b"}], ids=["parent", "task"])
async def test_the_id_of_a_run_that_somebody_else_scheduled_gives_nothing_away(desk: Desk, change: dict) -> None:
    """Attack 85: the id of a stored run is given for a new one, to have it returned."""
    secret = await desk.enqueue(parameters='{"secret": 1}')
    fresh = new_run()

    with pytest.raises(ConflictError, match="is taken by another run"):
        await desk.store.enqueue([fresh, new_run(id=secret.id, **change)])

    assert (await desk.store.list(RunFilter(app="main"))).items[0].run.id == secret.id  # nothing of the call is stored


async def test_an_effect_with_the_id_of_another_run_is_refused(desk: Desk) -> None:
    taken = await desk.enqueue(id="taken", due_at=START + 9)
    await desk.enqueue()
    claim = await desk.claim_one()

    with pytest.raises(ConflictError, match="is taken by another run"):
        await desk.end(claim, children=[_inside(id=taken.id, parent=claim.run.id)])

    assert await desk.status(claim.run) is Status.RUNNING


WHERE = [
    ({"waiting_per_app": 8}, {}, "of app 'main'"),
    ({"waiting_per_queue": 8}, {"queue": "q"}, "in queue 'q'"),
    ({"waiting_per_queue": 8}, {}, "of task 'a' without a queue"),
]


@pytest.mark.parametrize(("limits", "options", "whose"), WHERE, ids=["app", "queue", "task without queue"])
async def test_a_task_fills_half_tasks_fill_three_quarters_and_outside_the_rest(
    open_desk, limits: dict, options: dict, whose: str
) -> None:
    """Attack 85: a task fills what all may have waiting."""
    desk = await open_desk(limits=StoreLimits(**limits))
    await desk.store.enqueue([_inside("evil", **options) for _ in range(4)])

    with pytest.raises(LimitExceededError, match=f"'evil' cannot schedule more: 4 runs {whose} wait that it scheduled"):
        await desk.store.enqueue([_inside("evil", **options)])
    await desk.store.enqueue([_inside("shop", **options) for _ in range(2)])
    with pytest.raises(LimitExceededError, match=f"6 runs {whose} wait, and the rest .* for runs from outside"):
        await desk.store.enqueue([_inside("shop", **options)])
    assert sum((await desk.store.count("main")).values()) == 6

    await desk.store.enqueue([new_run(**options) for _ in range(2)])
    with pytest.raises(LimitExceededError, match="more than 8 runs"):
        await desk.store.enqueue([new_run(**options)])


async def test_what_a_task_scheduled_counts_until_it_runs(open_desk) -> None:
    desk = await open_desk(limits=StoreLimits(waiting_per_app=2))
    for _ in range(3):
        await desk.store.enqueue([_inside()])
        await desk.claim_one()


async def test_when_a_run_was_first_due_stays_through_its_retries(desk: Desk) -> None:
    """Issue 11, row 9: `due` was overwritten at each retry."""
    run = await desk.enqueue()
    assert (run.due_at, run.next_attempt_at) == (START, None)

    for number in (1, 2):
        retrying = await desk.retry(await desk.claim_one(), due_in_s=10)
        assert retrying == (await desk.detail(run)).run
        assert (retrying.due_at, retrying.next_attempt_at) == (START, START + number * 10 * SECOND)
        desk.now += 10 * SECOND
    claim = await desk.claim_one()
    assert (claim.run.due_at, claim.run.next_attempt_at) == (START, None)
    ended = await desk.end(claim)
    assert (ended.due_at, ended.next_attempt_at) == (START, None)


async def test_the_first_of_a_chain_of_repeats_is_kept(desk: Desk) -> None:
    repeat = await desk.enqueue(replay_of="second", root="first")

    assert repeat.root == (await desk.detail(repeat)).run.root == "first"
    assert (await desk.enqueue()).root is None
