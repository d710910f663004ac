"""Somebody who waits for a run that ends on another node learns of it, also where nobody heard the news."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from runner.domain.run import Claim, RunDetail
from runner.domain.status import Status
from runner.engine.api.waiters import Waiters
from support.postgres import create_database, drop_database, shared_server, sql
from support.relay import relay_to
from support.stores import Desk, desk_at, open_postgres

#: What ends the connections that listen; the sweep goes through them, too.
DROP_LISTENERS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE '%settle_announced%' AND pid <> pg_backend_pid()
"""


@pytest.fixture(scope="module", autouse=True)
def postgres() -> str:
    """Started before any test looks which processes there are."""
    return shared_server()


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    made = create_database(postgres)
    yield made
    drop_database(postgres, made)


async def test_a_waiter_whose_listener_is_dropped_as_the_run_ends_learns_of_it(database: str) -> None:
    async with _other_node(database) as other, _waiting_node(database) as waiters:
        claim, waiter = await _awaited(other, waiters)

        assert sql(database, DROP_LISTENERS) == [(2,)]
        await other.end(claim)

        async with asyncio.timeout(30):
            assert (await waiter).run.status is Status.SUCCEEDED


async def test_a_waiter_on_a_node_that_has_gone_deaf_learns_of_the_end(database: str) -> None:
    relay, deaf_url = relay_to(database)
    with contextlib.closing(relay):
        async with _other_node(database) as other, _waiting_node(database, deaf_url) as waiters:
            claim, waiter = await _awaited(other, waiters)

            relay.cut()
            await other.end(claim)

            async with asyncio.timeout(30):
                assert (await waiter).run.status is Status.SUCCEEDED


async def _awaited(other: Desk, waiters: Waiters) -> tuple[Claim, asyncio.Task[RunDetail]]:
    """A run that runs on the other node, and somebody who has looked at it and waits for its end."""
    await other.enqueue(id="run", task="a")
    waiter = asyncio.create_task(waiters.wait("main", "run", None))
    claim = await other.claim_one()
    for _ in range(3):  # the waiter asked before
        await waiters.wait("main", "run", 0)
    return claim, waiter


@contextlib.asynccontextmanager
async def _other_node(database: str) -> AsyncIterator[Desk]:
    store = open_postgres(database)
    await store.open()
    try:
        yield await desk_at(store)
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def _waiting_node(database: str, listen_url: str | None = None) -> AsyncIterator[Waiters]:
    store = open_postgres(database, listen_url)
    await store.open()
    waiters = Waiters(store)
    try:
        yield waiters
    finally:
        waiters.close()
        await store.close()
