"""The log of an attempt while its store is away: held, bounded, complete afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from runner.domain.masking import Mask
from runner.engine.attempts.logbook import Logbook
from runner.store.contract import Store
from support.postgres import PostgresServer, create_database, sql
from support.stores import open_postgres
from support.waiting import eventually_async


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def database(server: PostgresServer) -> str:
    return create_database(server.url())


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    store = open_postgres(database)
    await store.open()
    yield store
    await store.close()


@contextlib.contextmanager
def _away(server: PostgresServer) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


def _logbook(store: Store, run: str, limit_bytes: int = 10 << 20) -> Logbook:
    return Logbook(store, "main", run, 1, limit_bytes=limit_bytes, now=store.now, mask=Mask())


async def _texts(store: Store, run: str) -> list[str]:
    return [line.text for line in (await store.logs("main", run, limit=200_000)).lines]


async def test_lines_wait_for_a_store_that_is_away_for_long_and_are_kept_once(
    server: PostgresServer, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    logbook = _logbook(store, "patient")
    logbook.write("stdout", b"before\n")
    await eventually_async(lambda: _texts(store, "patient"))

    with _away(server):
        logbook.write("stdout", b"during\nand more\n")
        # It gave the lines up once: that is what used to lose them.
        await eventually_async(lambda: "wait for the store" in caplog.text, within_s=60)
        list(logbook.record("INFO", "logged", store.now()))
        logbook.write("stderr", b"no end")
        flushed = asyncio.create_task(logbook.flush())
    async with asyncio.timeout(60):
        await flushed

    assert await _texts(store, "patient") == ["before", "during", "and more", "logged", "no end"]


async def test_what_is_held_is_bounded_and_whoever_writes_more_waits(server: PostgresServer, store: Store) -> None:
    logbook = _logbook(store, "flood", limit_bytes=20 << 20)
    with _away(server):
        written = 0
        while not logbook.is_full:
            logbook.write("stdout", b"x\n" * 1000)
            written += 1000
        assert not logbook.is_dropping
        waiting = asyncio.create_task(logbook.room())
    async with asyncio.timeout(60):
        await waiting
        logbook.write("stdout", b"after\n")
        await logbook.flush()

    texts = await _texts(store, "flood")
    assert texts == ["x"] * written + ["after"]
    assert written * 200 < 17 << 20


async def test_a_log_that_alone_is_refused_keeps_nobody_waiting_and_says_what_it_lacks(
    database: str, store: Store
) -> None:
    sql(database, "ALTER TABLE log_lines RENAME TO away")
    logbook = _logbook(store, "refused", limit_bytes=20 << 20)
    while not logbook.is_full:
        logbook.write("stdout", b"lost\n" * 1000)
    async with asyncio.timeout(60):
        await logbook.room()
    sql(database, "ALTER TABLE away RENAME TO log_lines")
    async with asyncio.timeout(60):
        await logbook.flush()

    mark = next(text for text in await _texts(store, "refused") if text != "lost")
    assert mark.endswith("bytes before this line were lost: the store refused them")


async def test_a_log_that_alone_is_refused_keeps_no_end_waiting(database: str, store: Store) -> None:
    sql(database, "ALTER TABLE log_lines RENAME TO away")
    logbook = _logbook(store, "refused")
    logbook.write("stdout", b"lost\n")

    async with asyncio.timeout(60):
        await logbook.flush()
