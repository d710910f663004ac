"""Two at once bring lanes in line with what is announced, from two states of it: the newer one stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from runner.store.records import TaskKey
from support.stores import PostgresBackend, desk_at
from support.waiting import eventually_async

A = TaskKey("main", "a")


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[PostgresBackend]:
    made = PostgresBackend(tmp_path)
    yield made
    made.remove()


async def test_a_lane_whose_task_was_withdrawn_is_not_opened_by_whoever_still_believed_in_it(
    backend: PostgresBackend,
) -> None:
    store = backend.store()
    await store.open()
    desk = await desk_at(store, {"a": 100})
    await desk.enqueue(queue="q", task="c")
    holding, sweeping = [await asyncpg.connect(backend.url) for _ in range(2)]
    await sweeping.execute("INSERT INTO announced (app, task, node) VALUES ('main', 'c', 'node')")
    async with holding.transaction():
        await holding.execute("SELECT 1 FROM queues FOR UPDATE")
        sweep = asyncio.create_task(sweeping.fetch("SELECT * FROM settle_announced(200)"))
        await eventually_async(lambda: _waits(holding, 1))
        announcement = asyncio.create_task(store.announce({A: 100}))
        await eventually_async(lambda: _is_withdrawn_and_settled(holding, announcement))

    await asyncio.gather(sweep, announcement)

    assert backend.sql("SELECT loadable, open FROM lanes WHERE task = 'c'") == [(False, False)]
    await holding.close()
    await sweeping.close()
    await store.close()


async def _waits(connection: asyncpg.Connection, count: int) -> bool:
    return await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") >= count


async def _is_withdrawn_and_settled(connection: asyncpg.Connection, announcement: asyncio.Task[None]) -> bool:
    is_withdrawn = not await connection.fetchval("SELECT count(*) FROM announced WHERE task = 'c'")
    return is_withdrawn and (announcement.done() or await _waits(connection, 2))
