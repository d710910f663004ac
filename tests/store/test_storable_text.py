"""Text that no database can keep: both stores behave alike, and never as if it were a bug."""

from __future__ import annotations

import pytest

from runner.domain.options.run_filter import RunFilter
from runner.domain.run import Ending, Verdict
from runner.domain.status import Reason, Status
from runner.errors import InvalidOptionError, NotFoundError
from runner.store.listing import cursor_after
from support.stores import new_run

ODD = pytest.mark.parametrize("odd", ["a\0", "\0", "a\ud800", "\udfff\0"], ids=ascii)


@ODD
async def test_a_run_of_that_id_is_not_found(desk, odd) -> None:
    store = desk.store
    for asked in (
        store.get("main", odd),
        store.ancestors("main", odd),
        store.cancel("main", odd, desk.now),
        store.delete("main", odd),
        store.get(odd, "a"),
        store.drain_node(odd),
    ):
        with pytest.raises(NotFoundError):
            await asked
    assert (await store.logs("main", odd)).lines == ()


@ODD
@pytest.mark.parametrize("field", ["task", "queue", "tag"])
async def test_a_list_of_what_is_called_so_is_empty(desk, odd, field) -> None:
    await desk.enqueue(task="a", queue="a", tags=("a",))

    page = await desk.store.list(RunFilter(app="main", **{field: odd}))

    assert (page.items, page.next_cursor) == ((), None)


@ODD
async def test_a_queue_of_that_name_is_refused(desk, odd) -> None:
    store = desk.store
    for asked in (
        store.queue("main", odd),
        store.pause("main", odd, desk.now),
        store.resume("main", odd),
        store.purge("main", odd, desk.now),
        store.release("main", odd),
    ):
        with pytest.raises(InvalidOptionError, match="queue must be of characters that can be stored"):
            await asked


@ODD
@pytest.mark.parametrize("field", ["id", "task", "queue", "idempotency_key", "parent", "replay_of", "schedule", "tag"])
async def test_a_run_that_holds_it_is_refused_by_the_place(desk, odd, field) -> None:
    option = {"tags": ("a", odd)} if field == "tag" else {field: odd}

    with pytest.raises(InvalidOptionError, match=f"^{field} must be of characters"):
        await desk.store.enqueue([new_run(**option)])

    assert await desk.store.count("main") == {}


async def test_a_cursor_that_holds_it_is_not_one_that_a_list_gave(desk) -> None:
    with pytest.raises(InvalidOptionError, match="begin anew"):
        await desk.store.queues("main", cursor_after("queue", ["a\0", "b"], 1))


@ODD
async def test_in_the_sentence_why_a_run_ended_it_is_replaced(desk, odd) -> None:
    run = await desk.enqueue()
    claim = await desk.claim_one()
    ending = Ending(reason=Reason.CRASH, why=f"it said {odd}", finished_at=desk.now)
    verdict = Verdict(status=Status.FAILED, failures=1, losses=0, due_at=None)

    await desk.store.finish(claim, ending, verdict)
    again = await desk.store.finish(claim, ending, verdict)

    assert again.status is Status.FAILED
    kept = (await desk.detail(run)).run.why
    assert kept is not None
    assert "\0" not in kept
    assert kept.encode().startswith(b"it said ")
