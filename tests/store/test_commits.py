"""Many callers at once: shared commits, notices after them, callers that give up, closing."""

from __future__ import annotations

import asyncio

import pytest

from runner.domain.status import Status
from runner.errors import ConflictError, StoreUnavailableError
from support.stores import START, new_run


@pytest.mark.parametrize("before", [0, 20, 40])
async def test_one_caller_that_is_refused_takes_nothing_from_those_who_share_its_commit(desk, before: int) -> None:
    await desk.enqueue(idempotency_key="k")

    results = await asyncio.gather(
        *(desk.enqueue() for _ in range(before)),
        desk.store.enqueue([new_run(), new_run(idempotency_key="k", parameters="[]")]),
        *(desk.enqueue() for _ in range(40 - before)),
        return_exceptions=True,
    )

    assert [type(result) for result in results if isinstance(result, Exception)] == [ConflictError]
    assert await desk.store.count("main") == {Status.QUEUED: 41}


async def test_a_caller_that_gives_up_breaks_nothing(desk) -> None:
    calls = [asyncio.ensure_future(desk.enqueue()) for _ in range(50)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    await desk.enqueue()

    assert (await desk.store.count("main"))[Status.QUEUED] == 51


async def test_a_caller_is_answered_while_others_keep_coming(desk) -> None:
    first = asyncio.ensure_future(desk.enqueue())
    others: set[asyncio.Future[object]] = set()

    async with asyncio.timeout(10):
        while not first.done():
            others.add(asyncio.ensure_future(desk.enqueue()))
            await (asyncio.sleep(0) if len(others) < 50 else asyncio.wait(others, return_when="FIRST_COMPLETED"))
            others = {call for call in others if not call.done()}

    await asyncio.gather(*others)


async def test_what_was_accepted_is_stored_when_the_store_is_closed(desk, open_desk) -> None:
    calls = [asyncio.ensure_future(desk.enqueue()) for _ in range(200)]
    await asyncio.sleep(0)

    await asyncio.gather(desk.store.close(), *calls)

    assert await (await open_desk()).store.count("main") == {Status.QUEUED: 200}


async def test_a_closed_store_says_so_and_closes_again(desk) -> None:
    await desk.store.close()
    await desk.store.close()

    with pytest.raises(StoreUnavailableError, match="closed"):
        await desk.enqueue()
    with pytest.raises(StoreUnavailableError, match="closed"):
        await desk.store.count("main")


async def test_a_notice_comes_after_the_commit_that_it_tells_of(desk) -> None:
    seen = []
    desk.store.listen(
        lambda notice: seen.append(asyncio.ensure_future(desk.store.count("main"))) if notice.ended else None
    )
    run = await desk.enqueue()

    await desk.end(await desk.claim_one())
    (count,) = seen

    assert await count == {Status.SUCCEEDED: 1}
    assert [ended for notice in desk.notices for ended in notice.ended] == [("main", run.id)]


@pytest.mark.parametrize("options", [{}, {"queue": "q"}, {"due_at": START + 5}], ids=["plain", "queue", "later"])
async def test_a_new_run_wakes_those_who_claim(desk, options) -> None:
    await desk.enqueue(**options)

    assert any(notice.ready for notice in desk.notices)


async def test_a_run_behind_the_holder_of_its_queue_wakes_nobody_until_the_queue_is_free(desk) -> None:
    await desk.enqueue(queue="q")
    claim = await desk.claim_one()
    desk.notices.clear()

    await desk.enqueue(queue="q")
    assert not any(notice.ready for notice in desk.notices)
    await desk.end(claim)

    assert any(notice.ready for notice in desk.notices)


async def test_who_stops_listening_hears_nothing_more(desk) -> None:
    heard = []
    stop = desk.store.listen(heard.append)
    stop()

    await desk.enqueue()

    assert heard == []
