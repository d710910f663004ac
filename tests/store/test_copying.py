"""A store copied whole: from one kind to the other and back, interrupted, and refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from runner.domain.options.queue_rule import QueueRule
from runner.domain.options.run_filter import RunFilter
from runner.domain.run import Claim, LogLine, TaskError
from runner.domain.status import Reason, Status
from runner.errors import ConflictError, StoreUnavailableError, StoreVersionError
from runner.store.contents import TABLES
from runner.store.copying import copy
from runner.store.records import ScheduleState
from support.stores import BACKENDS, START, Desk, desk_at, node_info

RULES = {"strict": QueueRule(order="strict"), "wide": QueueRule(concurrency=3, rate="1/m")}
DIGEST = hashlib.sha256(b"a token").digest()
OTHER = {"sqlite": "postgres", "postgres": "sqlite"}


@pytest.fixture(params=sorted(BACKENDS))
def kind(request) -> str:
    return request.param


@pytest.fixture
def make(tmp_path) -> Iterator[Any]:
    """Makes places for stores of a kind."""
    made = []

    def backend(kind: str) -> Any:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(BACKENDS[kind](folder))
        return made[-1]

    yield backend
    for each in made:
        each.remove()


@contextlib.asynccontextmanager
async def opened(backend, **how: Any) -> AsyncIterator[Any]:
    store = backend.store(RULES)
    await store.open(**how)
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def _pair(source, target) -> AsyncIterator[tuple[Any, Any]]:
    await target.store().migrate()
    async with opened(source, as_it_is=True) as one, opened(target, as_it_is=True) as other:
        yield one, other


def _ignore(*_: object) -> None:
    pass


async def copied(source, target, advance=_ignore) -> dict[str, int]:
    async with _pair(source, target) as (one, other):
        return await copy(one, other, "the source", advance)


async def fill(backend) -> None:
    """Runs in every status that a store without a runner holds, and all that may belong to them."""
    async with opened(backend) as store:
        desk = await desk_at(store)
        await desk.enqueue(id="pruned", task="a")
        await desk.end(await desk.claim_one())
        await store.delete("main", "pruned")
        await desk.enqueue(
            id="good", task="a", parameters=json.dumps({"text": "é\\u0000", "big": 2**70}), tags=("x", "y")
        )
        claim = await desk.claim_one()
        await store.progress(claim, '{"fraction":0.5,"text":"half"}')
        usage = {"exit_code": 0, "peak_memory_bytes": 5 << 30, "cpu_time_s": 0.25, "sandbox": "full", "code": "abc"}
        await desk.end(claim, result='{"ok": [1, null]}', **usage)
        lines = [
            LogLine(attempt=1, at=START + n, stream="stdout", text=f"line {n} \0 é", continuation=n > 2)
            for n in range(5)
        ]
        await store.append_logs("main", "good", lines)
        await desk.enqueue(id="bad", task="a", idempotency_key="once", timeout_s=float("inf"), parent="good")
        error = TaskError(type="ValueError", message="no", traceback="Traceback")
        await desk.end(await desk.claim_one(), Status.FAILED, Reason.ERROR, error=error)
        await desk.enqueue(id="strictly", task="b", queue="strict")
        await desk.retry(await desk.claim_one(), due_in_s=30)
        await desk.enqueue(id="again", task="b", queue="wide", expires_at=START + 10**12)
        await desk.retry(await desk.claim_one(), due_in_s=40)
        await desk.enqueue(id="behind", task="c", queue="strict", priority=3)
        await desk.enqueue(id="later", task="c", queue="wide", due_at=desk.now + 90_000_000)
        await desk.enqueue(id="late", task="c", expires_at=desk.now + 1)
        desk.pass_s(1)
        await desk.enqueue(id="queued", task="c", queue="paused", schedule="daily")
        await store.pause("main", "paused", desk.now)
        await desk.enqueue(id="gone", task="c", queue="paused")
        await store.cancel("main", "gone", desk.now)
        await store.put_schedules(
            [ScheduleState(app="main", name="daily", task="a", rule="every 1d", next_at=START + 5, last_at=None)], START
        )
        await store.put_token(DIGEST, "main", "local", START)
        await store.announce({})
        assert await desk.claim() == []  # expires what is late
        await store.leave("node")


async def everything(backend) -> dict[str, Any]:
    """All that can be read through the contract, and the rows as they are."""
    async with opened(backend, as_it_is=True) as store:
        details = (await store.list(RunFilter(app="main", limit=1000))).items
        tables = {table.name: await store.contents().page(table, None, 1000) for table in TABLES}
        return {
            "runs": details,
            "tagged": [item.run.id for item in (await store.list(RunFilter(app="main", tag="x"))).items],
            "counts": dict(await store.count("main")),
            "queues": (await store.queues("main")).items,
            "schedules": await store.schedules(),
            "token": await store.token_app(DIGEST),
            "logs": [await store.logs("main", item.run.id) for item in details],
            "numbers": await store.contents().numbers(),
            "tables": tables,
            "problems": await store.contents().check(),
        }


async def test_a_store_that_went_to_the_other_kind_and_back_is_equal(kind, make) -> None:
    first, between, last = make(kind), make(OTHER[kind]), make(kind)
    await fill(first)

    there = await copied(first, between)
    back = await copied(between, last)

    before, middle, after = [await everything(each) for each in (first, between, last)]
    assert before["problems"] == []
    assert {status.value for status in before["counts"]} >= {
        "succeeded", "failed", "expired", "cancelled", "retrying", "queued", "scheduled"
    }  # fmt: skip
    assert before == middle == after
    assert there == back == {name: len(rows) for name, rows in before["tables"].items()}
    assert all(there.values()), "every table was tried"


async def test_what_was_copied_goes_on_where_it_stood(kind, make) -> None:
    source, target = make(kind), make(OTHER[kind])
    await fill(source)
    await copied(source, target)
    fences = [attempt.fence for item in (await everything(source))["runs"] for attempt in item.attempts]

    async with opened(target) as store:
        desk = await desk_at(store)
        desk.now = START + 31_000_000
        claims = await _claimed(desk)
        assert [claim.run.id for claim in claims] == ["strictly"]  # it held its place; the others wait or are paused
        assert claims[0].fence > max(fences)
        await desk.end(claims[0])
        assert [claim.run.id for claim in await _claimed(desk)] == ["behind"]
        assert (await desk.enqueue(id="other", task="a", idempotency_key="once")).id == "bad"


async def _claimed(desk: Desk) -> list[Claim]:
    for _ in range(100):  # a queue that the sweep is just looking after is left to the next claim
        if claims := await desk.claim(slots=10):
            return claims
    return []


async def test_numbers_that_were_given_to_runs_that_are_gone_are_not_given_again(kind, make) -> None:
    source, target = make(kind), make(OTHER[kind])
    async with opened(source) as store:
        desk = await desk_at(store)
        run = await desk.enqueue()
        claim = await desk.claim_one()
        await desk.end(claim)
        await store.delete("main", run.id)
        await store.leave("node")

    await copied(source, target)

    async with opened(target) as store:
        desk = await desk_at(store)
        await desk.enqueue()
        assert (await desk.claim_one()).fence == claim.fence + 1


@pytest.mark.parametrize("table", ["runs", "attempts", "holders", "log_lines"])
async def test_a_copy_that_was_interrupted_takes_no_node_and_is_finished_by_the_next(kind, make, table) -> None:
    source, target = make(kind), make(OTHER[kind])
    await fill(source)

    def interrupt(name: str, done: int, _total: int) -> None:
        if name == table and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await copied(source, target, interrupt)
    async with opened(target, as_it_is=True) as store:
        with pytest.raises(StoreUnavailableError, match="unfinished copy of the source"):
            await store.register(node_info())
        assert "unfinished copy" in (await store.contents().check())[-1]
    async with _pair(source, target) as (one, other):
        with pytest.raises(ConflictError, match="unfinished copy of the source"):
            await copy(one, other, "another source", _ignore)

    await copied(source, target)

    assert await everything(target) == await everything(source)


async def test_a_copy_goes_only_into_a_store_without_runs(kind, make) -> None:
    source, target = make(kind), make(OTHER[kind])
    for each in (source, target):
        await fill(each)

    with pytest.raises(ConflictError, match="holds runs already"):
        await copied(source, target)


async def test_runs_that_are_running_are_not_copied(kind, make) -> None:
    source, target = make(kind), make(OTHER[kind])
    async with opened(source) as store:
        desk = await desk_at(store)
        await desk.enqueue()
        await desk.claim_one()
        await store.bury("node", (await store.nodes())[0].beat)

    with pytest.raises(ConflictError, match="1 runs that are still running: start a runner"):
        await copied(source, target)


async def test_a_shared_store_with_a_living_node_is_in_use_on_either_side(make) -> None:
    shared, own = make("postgres"), make("sqlite")
    async with opened(own):
        pass
    async with opened(shared) as store:
        await store.register(node_info(name="alpha"))
        for source, target in ((shared, own), (own, shared)):
            with pytest.raises(ConflictError, match="in use by alpha"):
                await copied(source, target)


async def test_nothing_is_changed_by_opening_a_store_as_it_is(kind, make) -> None:
    backend = make(kind)
    with pytest.raises((StoreUnavailableError, StoreVersionError), match=r"there is no store|holds no store yet"):
        async with opened(backend, as_it_is=True):
            pass
    await fill(backend)
    before = await everything(backend)

    store = backend.store()  # for this one no queue is strict
    await store.open(as_it_is=True)
    await store.close()

    assert await everything(backend) == before


async def test_a_check_says_what_is_counted_wrongly(kind, make) -> None:
    backend = make(kind)
    await fill(backend)
    backend.sql("DELETE FROM totals WHERE status = 'queued'")
    backend.sql("UPDATE lanes SET ready = ready + 1 WHERE queue = 'paused'")
    backend.sql("DELETE FROM run_parameters WHERE run = (SELECT seq FROM runs WHERE id = 'queued')")

    async with opened(backend, as_it_is=True) as store:
        problems = await store.contents().check()

    assert "app main counts 0 runs as queued, and there are 2" in problems
    assert "queue paused of app main counts 2 ready and 0 later runs of task c, and there are 1 and 0" in problems
    assert "run queued has lost its parameters" in problems
    assert len(problems) == 3
