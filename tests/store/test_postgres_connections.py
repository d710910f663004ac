"""Connections that are kept: which goes first, and which are not kept."""

from __future__ import annotations

import pytest

from runner.store.postgres.connections import Connections, Timing
from support.stores import PostgresBackend
from support.waiting import eventually_async


@pytest.fixture
def backend(tmp_path):
    made = PostgresBackend(tmp_path)
    yield made
    made.remove()


@pytest.fixture
async def kept(backend):
    kept = Connections(backend.url, is_pooled=False, timing=Timing())
    yield kept
    await kept.close()


async def test_the_connection_that_was_used_last_goes_first(kept) -> None:
    first, second = await kept.take(), await kept.take()

    kept.give_back(second)
    kept.give_back(first)

    assert [await kept.take(), await kept.take()] == [first, second]
    kept.give_back(first)
    kept.give_back(second)


async def test_one_that_the_server_has_closed_is_not_handed_out(kept) -> None:
    victim, other = await kept.take(), await kept.take()
    await other.execute("SELECT pg_terminate_backend($1)", victim.get_server_pid())
    kept.give_back(other)
    kept.give_back(victim)

    await eventually_async(victim.is_closed)

    assert await kept.take() is other
    kept.give_back(other)


async def test_one_that_nobody_needed_for_long_is_closed(backend) -> None:
    impatient = Connections(backend.url, is_pooled=False, timing=Timing(idle_s=0.0))
    busy, idle = await impatient.take(), await impatient.take()
    impatient.give_back(idle)

    impatient.give_back(busy)

    assert idle.is_closed()
    assert not busy.is_closed()
    await impatient.close()
