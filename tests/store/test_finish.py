"""How attempts end: with their claim's token, once, and with what follows in the same commit."""

from __future__ import annotations

import dataclasses

import pytest

from runner.domain.run import TaskError
from runner.domain.status import Reason, Status
from runner.errors import LimitExceededError, NotFoundError, StaleClaimError
from runner.store.records import StoreLimits
from support.stores import START, new_run


async def test_a_success_keeps_the_result_and_the_figures(desk) -> None:
    run = await desk.enqueue()
    claim = await desk.claim_one()
    desk.pass_s(2)

    ended = await desk.end(
        claim,
        result='{"n": null}',
        exit_code=0,
        signal=None,
        peak_memory_bytes=5,
        cpu_time_s=0.25,
        sandbox="full: walls",
        code="hash",
    )

    detail = await desk.detail(run)
    assert detail.run == ended
    assert (ended.status, ended.reason, ended.finished_at) == (Status.SUCCEEDED, Reason.SUCCESS, desk.now)
    assert ended.why == "it ended in success"
    assert (detail.result, detail.error) == ('{"n": null}', None)
    (attempt,) = detail.attempts
    assert (attempt.finished_at, attempt.reason, attempt.exit_code, attempt.cpu_time_s) == (
        desk.now,
        "success",
        0,
        0.25,
    )
    assert (attempt.peak_memory_bytes, attempt.sandbox, attempt.code) == (5, "full: walls", "hash")


async def test_an_error_is_kept_until_a_later_attempt_ends_otherwise(desk) -> None:
    run = await desk.enqueue()
    error = TaskError(type="ValueError", message="\ud800 no", traceback="…")

    await desk.retry(await desk.claim_one(), reason=Reason.ERROR, error=error)
    assert (await desk.detail(run)).error == error
    await desk.end(await desk.claim_one(), Status.FAILED, Reason.CRASH)

    assert (await desk.detail(run)).error is None


async def test_each_attempt_keeps_its_error_whatever_comes_after_it(desk) -> None:
    run = await desk.enqueue()
    errors = [TaskError(type="ValueError", message=f"\0 no {number}", traceback="\u2026") for number in range(2)]

    for error in errors:
        await desk.retry(await desk.claim_one(), reason=Reason.ERROR, error=error)
    await desk.retry(await desk.claim_one(), reason=Reason.CRASH)
    await desk.end(await desk.claim_one(), result="1")

    detail = await desk.detail(run)
    assert [attempt.error for attempt in detail.attempts] == [*errors, None, None]
    assert detail.error is None


async def test_of_very_many_attempts_the_newest_hundred_keep_their_errors(desk) -> None:
    run = await desk.enqueue()
    for number in range(103):
        error = TaskError(type="ValueError", message=str(number), traceback="")
        await desk.retry(await desk.claim_one(), reason=Reason.ERROR, error=error)

    kept = [attempt.error and attempt.error.message for attempt in (await desk.detail(run)).attempts]
    assert kept == [None] * 3 + [str(number) for number in range(3, 103)]


async def test_a_run_that_retries_comes_back_when_it_is_due(desk) -> None:
    run = await desk.enqueue()
    retried = await desk.retry(await desk.claim_one(), due_in_s=5, reason=Reason.TIMEOUT)
    assert (retried.status, retried.failures, retried.next_attempt_at) == (Status.RETRYING, 1, desk.now + 5_000_000)
    assert await desk.claim() == []

    desk.pass_s(5)
    claim = await desk.claim_one()

    assert (claim.run.id, claim.attempt, claim.run.started_at) == (run.id, 2, START)
    assert [attempt.reason for attempt in (await desk.detail(run)).attempts] == [Reason.TIMEOUT, None]


async def test_a_drained_run_keeps_its_place(desk) -> None:
    first = await desk.enqueue(queue="q")
    await desk.enqueue(queue="q")

    drained = await desk.end(await desk.claim_one(), Status.QUEUED)

    assert drained.status is Status.QUEUED
    assert (await desk.claim_one()).run.id == first.id


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.RETRYING])
async def test_a_claim_ends_once(desk, status) -> None:
    run = await desk.enqueue()
    claim = await desk.claim_one()
    await desk.end(claim, status)
    before = await desk.detail(run)

    with pytest.raises(StaleClaimError):
        await desk.end(claim, Status.FAILED, Reason.LOST)

    assert await desk.detail(run) == before


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.RETRYING])
async def test_a_call_that_is_repeated_after_a_lost_reply_returns_what_it_did(desk, status) -> None:
    run = await desk.enqueue(queue="q")
    claim = await desk.claim_one()
    ended = await desk.end(claim, status, children=[child := new_run()])
    before = await desk.detail(run)

    assert await desk.end(claim, status, children=[child]) == ended

    assert await desk.detail(run) == before
    assert sum((await desk.store.count("main")).values()) == 2


async def test_a_stale_token_changes_nothing_while_a_later_attempt_runs(desk) -> None:
    run = await desk.enqueue()
    stale = await desk.claim_one()
    await desk.retry(stale, reason=Reason.LOST)
    live = await desk.claim_one()
    before = await desk.detail(run)

    for claim in (stale, dataclasses.replace(stale, attempt=2), dataclasses.replace(live, token="0" * 32)):
        with pytest.raises(StaleClaimError):
            await desk.end(claim, result="1", children=[new_run()])
        await desk.store.progress(claim, '{"fraction": 1}')

    assert await desk.detail(run) == before
    assert (await desk.end(live)).status is Status.SUCCEEDED


async def test_children_appear_with_the_success_and_not_before(desk) -> None:
    run = await desk.enqueue()
    claim = await desk.claim_one()
    child = new_run(parent=run.id, queue="q")
    with pytest.raises(NotFoundError):
        await desk.store.get("main", child.id)

    await desk.end(claim, children=[child])

    assert (await desk.claim_one()).run.parent == run.id


async def test_a_success_without_room_for_its_children_changes_nothing(open_desk) -> None:
    desk = await open_desk(limits=StoreLimits(children_per_run=1))
    run = await desk.enqueue()
    claim = await desk.claim_one()

    with pytest.raises(LimitExceededError):
        await desk.end(claim, children=[new_run(parent=run.id), new_run(parent=run.id)])

    assert await desk.status(run) is Status.RUNNING
    assert await desk.store.count("main") == {Status.RUNNING: 1}
    await desk.end(claim, Status.FAILED, Reason.ERROR)


async def test_progress_of_a_live_attempt_is_kept_beside_its_result(desk) -> None:
    run = await desk.enqueue()
    claim = await desk.claim_one()

    await desk.store.progress(claim, '{"fraction": 0.5}')
    await desk.store.progress(claim, '{"fraction": 0.9}')
    await desk.end(claim, result="1")

    detail = await desk.detail(run)
    assert (detail.progress, detail.result) == ('{"fraction": 0.9}', "1")


async def test_a_run_cancelled_while_its_verdict_was_on_its_way_gets_no_next_attempt(desk) -> None:
    for status in (Status.RETRYING, Status.QUEUED):
        run = await desk.enqueue(queue="q")
        claim = await desk.claim_one()
        await desk.store.cancel("main", run.id, desk.now)

        ended = await desk.end(claim, status, Reason.CRASH)

        assert (ended.status, ended.finished_at) == (Status.CANCELLED, desk.now)
    assert await desk.claim() == []


async def test_an_error_of_the_store_is_told_and_the_next_call_works(desk) -> None:
    await desk.enqueue()
    claim = await desk.claim_one()
    unknown = dataclasses.replace(claim, run=dataclasses.replace(claim.run, id="unknown"))

    with pytest.raises(StaleClaimError):
        await desk.end(unknown)
    await desk.end(claim)
