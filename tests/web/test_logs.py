"""A log is given line by line, as it grows, to readers of any speed."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from support.buffering_proxy import buffering_proxy

LOGS = "/api/v1/runs/019aa3d4-0000-7000-8000-000000000000/logs"


async def lines_of(response) -> list[str]:
    return [json.loads(line)["text"] async for line in response.content]


async def test_a_log_is_a_document_a_line(api):
    api.operations.write("one\x1b[31m\nforged")

    async with api.http.get(LOGS) as response:
        [line] = (await response.read()).splitlines()

    assert response.content_type == "application/x-ndjson"
    assert json.loads(line) == {
        "number": 1,
        "attempt": 1,
        "at": "2025-11-20T21:00:00.123456Z",
        "stream": "stdout",
        "level": None,
        "text": "one\x1b[31m\nforged",
        "continuation": False,
    }


async def test_a_long_log_is_given_whole_and_in_order(api):
    for number in range(2500):
        api.operations.write(str(number))

    async with api.http.get(LOGS) as response:
        assert await lines_of(response) == [str(number) for number in range(2500)]


async def test_a_part_of_a_log_is_named_by_its_numbers(api):
    for number in range(10):
        api.operations.write(str(number))

    async with api.http.get(f"{LOGS}?after=3&limit=2") as response:
        assert await lines_of(response) == ["3", "4"]


async def test_the_log_of_an_unknown_run_is_not_found(api):
    problem = await api.problem("GET", "/api/v1/runs/nope/logs?follow=1")

    assert problem["status"] == 404


async def test_a_follower_gets_each_line_as_it_comes_and_ends_with_the_run(api):
    async with api.http.get(f"{LOGS}?follow=1") as response:
        for text in ("one", "two", "three"):
            api.operations.write(text)
            assert json.loads(await response.content.readline())["text"] == text
        api.operations.write("last")
        api.operations.end()

        assert await lines_of(response) == ["last"]


async def test_a_reader_that_stops_reading_harms_nobody(api):
    for _ in range(200):
        api.operations.write("x" * 100_000)

    async with api.http.get(LOGS, read_bufsize=1024) as stalled:
        assert stalled.status == 200
        async with api.http.get(f"{LOGS}?limit=1") as other:
            assert len(await lines_of(other)) == 1
        async with api.http.get("/healthz") as health:
            assert health.status == 200


async def test_a_stopping_server_cuts_followers_so_that_they_can_tell(api):
    api.operations.write("one")
    async with api.http.get(f"{LOGS}?follow=1") as response:
        assert json.loads(await response.content.readline())["text"] == "one"

        await api.server.stop()

        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.readline()


async def test_a_follower_that_leaves_is_forgotten(api, monkeypatch):
    monkeypatch.setattr("runner.web.routes.logs._LOOK_S", 0.01)
    api.operations.write("one")

    async with api.http.get(f"{LOGS}?follow=1") as response:
        await response.content.readline()
    # It left with the block's end, and the run goes on.

    async with asyncio.timeout(10):
        await api.operations.left.wait()


async def test_a_follower_behind_a_proxy_that_buffers_gets_each_line_as_it_comes(api):
    async with buffering_proxy(api.url) as url, api.http.get(f"{url}{LOGS}?follow=1") as response:
        for text in ("one", "two"):
            api.operations.write(text)
            async with asyncio.timeout(10):
                assert json.loads(await response.content.readline())["text"] == text
        api.operations.end()
        assert await response.content.read() == b""


async def test_a_follower_of_a_silent_run_is_sent_empty_lines_so_that_no_proxy_takes_it_for_dead(api, monkeypatch):
    monkeypatch.setattr("runner.web.routes.logs._SILENT_S", 0.05)
    monkeypatch.setattr("runner.web.routes.logs._LOOK_S", 0.01)

    async with (
        buffering_proxy(api.url, read_timeout_s=5) as url,
        api.http.get(f"{url}{LOGS}?follow=1") as response,
    ):
        for _ in range(3):
            assert await response.content.readline() == b"\n"
        api.operations.write("one")
        api.operations.end()
        rest = (await response.content.read()).split()

    assert len(rest) == 1
    assert json.loads(rest[0])["text"] == "one"


async def test_a_log_asks_all_on_its_way_to_pass_it_on_as_it_is(api):
    async with api.http.get(LOGS) as response:
        assert response.headers["X-Accel-Buffering"] == "no"
        assert response.headers["Cache-Control"] == "no-store, no-transform"
