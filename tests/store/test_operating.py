"""Cancelling, deleting and pruning."""

from __future__ import annotations

import pytest

from runner.domain.options.run_filter import RunFilter
from runner.domain.run import LogLine
from runner.domain.status import Status
from runner.errors import ConflictError, NotFoundError
from support.stores import START, new_run

LINE = LogLine(attempt=1, at=START, stream="stdout", text="x")


async def test_a_run_that_waits_is_cancelled_at_once(desk) -> None:
    scheduled = await desk.enqueue(due_at=START + 1, queue="q")
    queued = await desk.enqueue()
    await desk.enqueue(task="b")
    retrying = await desk.retry(next(c for c in await desk.claim(2) if c.run.task == "b"), due_in_s=9)
    for run in (scheduled, retrying):
        cancelled = await desk.store.cancel("main", run.id, desk.now)

        assert (cancelled.status, cancelled.finished_at) == (Status.CANCELLED, desk.now)
        assert str(run.status) in (cancelled.why or "")
    assert await desk.status(queued) is Status.RUNNING
    assert await desk.claim(5) == []


async def test_a_running_run_is_asked_to_end_once(desk) -> None:
    run = await desk.enqueue()
    claim = await desk.claim_one()

    asked = await desk.store.cancel("main", run.id, START + 1)
    again = await desk.store.cancel("main", run.id, START + 2)

    assert (asked.status, asked.cancel_requested_at) == (Status.RUNNING, START + 1)
    assert again == asked
    assert [run.id for notice in desk.notices for run in notice.cancelling] == [run.id]
    assert (await desk.end(claim, Status.CANCELLED)).status is Status.CANCELLED


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
async def test_a_final_run_stays_as_it_is(desk, status) -> None:
    run = await desk.enqueue()
    final = await desk.end(await desk.claim_one(), status)

    assert await desk.store.cancel("main", run.id, desk.now + 1) == final


async def test_an_expired_run_stays_as_it_is(desk) -> None:
    run = await desk.enqueue(expires_at=START)
    await desk.claim()

    assert (await desk.store.cancel("main", run.id, desk.now + 1)).status is Status.EXPIRED


async def test_a_run_of_another_app_is_not_found(desk) -> None:
    run = await desk.enqueue()

    for call in (
        desk.store.cancel("other", run.id, desk.now),
        desk.store.delete("other", run.id),
        desk.store.get("other", run.id),
        desk.store.ancestors("other", run.id),
    ):
        with pytest.raises(NotFoundError, match=run.id):
            await call


async def test_deleting_takes_everything_with_it(desk, backend) -> None:
    run = await desk.enqueue(tags=("x",), queue="q")
    claim = await desk.claim_one()
    await desk.store.append_logs("main", run.id, [LINE])
    with pytest.raises(ConflictError, match="cancel"):
        await desk.store.delete("main", run.id)
    await desk.end(claim, result="1")

    await desk.store.delete("main", run.id)

    with pytest.raises(NotFoundError):
        await desk.detail(run)
    assert await desk.store.count("main") == {}
    assert (await desk.store.logs("main", run.id)).lines == ()
    for table in ("run_parameters", "run_responses", "run_tags", "attempts", "holders", "lanes", "queues"):
        assert backend.sql(f"SELECT count(*) FROM {table}") == [(0,)], table


async def test_deleting_a_run_that_waits_ends_it_for_those_who_listen(desk) -> None:
    run = await desk.enqueue(queue="q")
    following = await desk.enqueue(queue="q")

    await desk.store.delete("main", run.id)

    assert [ended for notice in desk.notices for ended in notice.ended] == [("main", run.id)]
    assert (await desk.claim_one()).run.id == following.id


async def test_pruning_deletes_old_final_runs_and_their_logs_up_to_the_limit(desk) -> None:
    await desk.store.enqueue([new_run() for _ in range(500)])
    for claim in await desk.claim(450, memory=100_000):
        await desk.end(claim)
    (kept,) = (await desk.store.list(RunFilter(app="main", limit=1, status=frozenset({Status.SUCCEEDED})))).items
    await desk.store.append_logs("main", kept.run.id, [LINE])

    assert await desk.store.prune(finished_before=desk.now, logs_before=0) == 0
    assert await desk.store.prune(finished_before=desk.now + 1, logs_before=0, limit=300) == 300
    assert await desk.store.prune(finished_before=desk.now + 1, logs_before=0) == 150

    assert await desk.store.count("main") == {Status.QUEUED: 50}
    assert (await desk.store.logs("main", kept.run.id)).lines == ()


async def test_pruning_deletes_old_logs_of_runs_that_stay(desk) -> None:
    old, fresh = await desk.enqueue(), await desk.enqueue()
    await desk.store.append_logs("main", old.id, [LINE] * 5000)
    await desk.store.append_logs("main", fresh.id, [LogLine(attempt=1, at=START + 9, stream="stdout", text="x")])

    await desk.store.prune(finished_before=0, logs_before=START + 1)

    assert (await desk.store.logs("main", old.id)).lines == ()
    assert len((await desk.store.logs("main", fresh.id)).lines) == 1
