"""What a database does to its clients, done to the store: it comes back by itself, and ends nothing wrongly."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import asyncpg
import pytest

from runner.domain.run import LogLine
from runner.domain.status import Status
from runner.errors import StoreFullError, StoreUnavailableError
from runner.store.postgres import database
from runner.store.postgres.connections import Timing
from support.postgres import PostgresServer, Shell, create_database
from support.stores import START, desk_at, new_run, open_postgres
from support.waiting import eventually_async

#: What has not come by then does not come: nothing here tries for as long.
HANGS_S = 60


@pytest.fixture(scope="module")
def server():
    made = PostgresServer("max_connections=20")
    made.start()
    yield made
    made.remove()


@pytest.fixture
async def desk(server):
    store = open_postgres(create_database(server.url()))
    await store.open()
    yield await desk_at(store)
    await store.close()


@pytest.fixture
async def impatient_desk(server):
    timing = Timing(patience_s=1.0, silence_s=0.3, connect_s=0.3)
    store = open_postgres(create_database(server.url()))
    await store.open()
    await desk_at(store)
    await store.close()
    impatient = open_postgres(store._url, timing=timing)
    await impatient.open()
    yield await desk_at(impatient)
    await impatient.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restart", "crash"])
async def test_calls_during_a_restart_wait_for_it_and_are_done_once(server, desk, how) -> None:
    await desk.enqueue(queue="held")
    claim = await desk.claim_one()
    server.stop(how)
    calls = [asyncio.ensure_future(desk.enqueue(queue="q", id=f"during-{number}")) for number in range(20)]
    ending = asyncio.ensure_future(desk.end(claim))
    await asyncio.sleep(0.3)
    assert not any(call.done() for call in (*calls, ending))

    await asyncio.to_thread(server.start)

    await asyncio.gather(*calls)
    assert (await ending).status is Status.SUCCEEDED
    assert await desk.store.count("main") == {Status.SUCCEEDED: 1, Status.QUEUED: 20}
    assert len(await desk.claim(9)) == 1


@pytest.mark.parametrize("is_done", [False, True], ids=["nothing was done", "all was done"])
async def test_an_end_with_a_claim_whose_answer_was_lost_is_found_or_done_again(
    server, desk, monkeypatch, is_done
) -> None:
    await desk.store.enqueue([new_run(), new_run()])
    claim = await desk.claim_one()
    first = True
    original = database.Transaction.rows

    async def rows(tx, name, *values):
        nonlocal first
        if name != "finish_and_claim" or not first:
            return await original(tx, name, *values)
        first = False
        if is_done:
            await original(tx, name, *values)
        raise asyncpg.ConnectionDoesNotExistError("cut")

    monkeypatch.setattr(database.Transaction, "rows", rows)

    ended, (following,) = await desk.end_and_claim(claim)

    assert (ended.id, ended.status) == (claim.run.id, Status.SUCCEEDED)
    assert [held.token for held in await desk.store.orphans("node")] == [following.token]


async def test_a_call_in_a_long_outage_says_so_and_the_next_one_after_it_works(server, impatient_desk) -> None:
    desk = impatient_desk
    server.stop()
    try:
        with pytest.raises(StoreUnavailableError, match="PostgreSQL"):
            await desk.enqueue()
        with pytest.raises(StoreUnavailableError):
            await desk.claim()
    finally:
        await asyncio.to_thread(server.start)

    await desk.enqueue()
    assert len(await desk.claim()) == 1


async def test_after_an_outage_a_node_hears_the_others_again(server, desk) -> None:
    other_store = open_postgres(desk.store._url)
    await other_store.open()
    try:
        server.stop(signal.SIGQUIT)
        desk.notices.clear()
        await asyncio.to_thread(server.start)
        await eventually_async(lambda: any(notice.ready for notice in desk.notices), within_s=5)
        desk.notices.clear()

        await other_store.enqueue([new_run()])

        await eventually_async(lambda: any(notice.ready for notice in desk.notices), within_s=2)
    finally:
        await other_store.close()


async def test_a_database_that_hangs_is_told_after_a_time_and_works_again_when_it_goes_on(
    server, impatient_desk
) -> None:
    server.freeze()
    try:
        async with asyncio.timeout(HANGS_S):
            with pytest.raises(StoreUnavailableError):
                await impatient_desk.enqueue()
    finally:
        server.thaw()

    await eventually_async(lambda: _works(impatient_desk))


async def _works(desk) -> bool:
    with contextlib.suppress(StoreUnavailableError):
        await desk.enqueue()
        return len(await desk.claim()) == 1
    return False


async def test_a_lease_is_not_renewed_through_a_database_that_hangs_and_says_so_in_time(server, desk) -> None:
    lease = desk.store.lease("node", within_s=0.3)
    assert await lease.renew()
    server.freeze()
    try:
        async with asyncio.timeout(HANGS_S):
            with pytest.raises(StoreUnavailableError):
                await lease.renew()
    finally:
        server.thaw()

    await eventually_async(lambda: _renewed(lease))
    await lease.close()


async def _renewed(lease) -> bool:
    with contextlib.suppress(StoreUnavailableError):
        return await lease.renew()
    return False


async def test_with_no_connection_free_calls_wait_for_one(server, desk) -> None:
    await desk.store.close()
    taken = []
    with contextlib.suppress(asyncpg.TooManyConnectionsError):
        while True:
            taken.append(await asyncpg.connect(server.url()))
    store = open_postgres(desk.store._url)
    opening = asyncio.ensure_future(store.open())
    await asyncio.sleep(0.5)
    assert not opening.done()

    for connection in taken:
        await connection.close()

    await opening
    await store.enqueue([new_run()])
    await store.close()


@pytest.mark.parametrize("state", ["40P01", "40001", "25006", "57P01", "53300"])
async def test_a_fault_that_passes_is_tried_again(desk, state) -> None:
    shell = Shell(desk.store._url)
    shell.sql("CREATE SEQUENCE faults")
    shell.sql(
        "CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF nextval('faults') < 3 THEN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{state}'; END IF;"
        " RETURN NULL; END $$"
    )
    shell.sql("CREATE TRIGGER fail AFTER INSERT OR UPDATE ON runs FOR EACH STATEMENT EXECUTE FUNCTION fail_once()")

    await desk.enqueue(queue="q")
    shell.sql("SELECT setval('faults', 1, false)")
    claim = await desk.claim_one()
    shell.sql("SELECT setval('faults', 1, false)")
    await desk.end(claim)

    shell.close()
    assert await desk.store.count("main") == {Status.SUCCEEDED: 1}


async def test_a_full_disk_of_the_database_is_told_as_such_and_stores_nothing(desk) -> None:
    shell = Shell(desk.store._url)
    shell.sql(
        "CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$".replace("full()", "is_full()")
    )
    shell.sql("CREATE TRIGGER is_full AFTER INSERT ON runs FOR EACH STATEMENT EXECUTE FUNCTION is_full()")
    with pytest.raises(StoreFullError, match="nothing was stored"):
        await desk.enqueue()
    shell.sql("DROP TRIGGER is_full ON runs")
    shell.close()

    await desk.enqueue()
    assert await desk.store.count("main") == {Status.QUEUED: 1}


async def test_a_commit_whose_answer_was_lost_is_found_out(desk, monkeypatch) -> None:
    """Every commit is done, and then its connection is lost before the answer comes."""
    losing = set[str]()
    genuine = database.Database._once

    async def once(self, work, kind, *, repeated):
        result = await genuine(self, work, kind, repeated=repeated)
        if kind == "write" and not repeated and losing:
            raise ConnectionResetError("on purpose, after the commit")
        return result

    monkeypatch.setattr(database.Database, "_once", once)
    losing.add("from now on")

    run = await desk.enqueue(queue="q")
    (claim,) = await desk.claim(3)
    ended = await desk.end(claim, children=[child := new_run()])

    assert (run.id, ended.status) == (claim.run.id, Status.SUCCEEDED)
    assert await desk.store.count("main") == {Status.SUCCEEDED: 1, Status.QUEUED: 1}
    (child_claim,) = await desk.claim(3)
    assert (child_claim.run.id, child_claim.attempt) == (child.id, 1)
    assert len(await desk.store.orphans()) == 1
    await eventually_async(lambda: {each.id for notice in desk.notices for each in notice.ended} == {run.id})


async def test_a_flood_of_log_lines_is_stored_once_though_an_answer_was_lost(desk, monkeypatch) -> None:
    genuine, lost = database.Database._once, []

    async def once(self, work, kind, *, repeated):
        result = await genuine(self, work, kind, repeated=repeated)
        if kind == "write" and not lost:
            lost.append(True)
            raise ConnectionResetError("on purpose, after the commit")
        return result

    monkeypatch.setattr(database.Database, "_once", once)
    lines = [LogLine(attempt=1, at=START, stream="stdout", text=str(number)) for number in range(100)]

    await desk.store.append_logs("main", "run", lines)

    assert [line.number for line in (await desk.store.logs("main", "run")).lines] == list(range(1, 101))


async def test_behind_a_pooler_of_transactions_nothing_is_prepared(server) -> None:
    url = create_database(server.url())
    store = open_postgres(url, listen_url=url)
    await store.open()
    try:
        desk = await desk_at(store)
        await desk.enqueue(queue="q")
        await desk.end(await desk.claim_one())
        connection = await store._database._connections.take()
        assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == 0
        await connection.close()
    finally:
        await store.close()
