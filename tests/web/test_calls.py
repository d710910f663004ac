"""What a request says arrives as it was said, and what is answered arrives exactly."""

from __future__ import annotations

import asyncio

import pytest
from yarl import URL

from runner.domain.options.run_filter import RunFilter
from runner.domain.status import Status

RUN = "019aa3d4-0000-7000-8000-000000000000"
#: 2**63 and more are where fast JSON parsers begin to round.
EXACT = [2**53 + 1, 2**64, -(10**40), 0.1, 1e16, 5e-324, "\u2028 é \x7f \x00", None, True, {"": []}]


async def test_a_run_is_scheduled_with_exactly_what_was_sent(api):
    request = {"task": "greet", "parameters": {"values": EXACT}}

    async with api.http.post("/api/v1/runs", json=request) as response:
        answered = await response.json()

    assert response.status == 201
    assert api.operations.calls == [("schedule", "main", request)]
    assert answered == {"app": "main", **request}
    assert [type(value) for value in answered["parameters"]["values"]] == [type(value) for value in EXACT]


async def test_a_batch_is_one_call(api):
    requests = [{"task": "a"}, {"task": "b"}]

    async with api.http.post("/api/v1/runs/batch", json={"runs": requests}) as response:
        answered = await response.json()

    assert response.status == 201
    assert [run["task"] for run in answered["items"]] == ["a", "b"]
    assert api.operations.calls == [("schedule", "main", *requests)]


async def test_a_list_passes_its_filters_on(api):
    query = "status=queued&status=failed&task=t&queue=a%2Fb&tag=x&cursor=c&limit=7"

    async with api.http.get(URL(f"{api.url}/api/v1/runs?{query}", encoded=True)) as response:
        assert response.status == 200

    statuses = frozenset({Status.QUEUED, Status.FAILED})
    wanted = RunFilter(app="main", status=statuses, task="t", queue="a/b", tag="x", cursor="c", limit=7)
    assert api.operations.calls == [("list", wanted)]


@pytest.mark.parametrize(
    ("encoded", "name"),
    [
        ("mail", "mail"),
        ("a%2Fb", "a/b"),
        ("%2F", "/"),
        ("%252F", "%2F"),
        ("50%25", "50%"),
        ("%7Btenant%7D:1", "{tenant}:1"),
        ("a+b%20c", "a+b c"),
        ("%3Fx%3D1%23y", "?x=1#y"),
        ("!$&'()*+,;=:@", "!$&'()*+,;=:@"),
        ("gr%C3%BC%C3%9Fe%20%E2%98%83", "grüße ☃"),
        ("pause", "pause"),
    ],
)
async def test_a_queue_may_have_any_name_that_prints(api, encoded, name):
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(api.url).port)
    # Written by hand: clients tidy paths up in ways of their own.
    head = f"POST /api/v1/queues/{encoded}/pause HTTP/1.1\r\nHost: localhost\r\nConnection: close"
    writer.write(f"{head}\r\nAuthorization: Bearer s3cret\r\n\r\n".encode())

    answer = await reader.read()

    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200")
    assert api.operations.calls == [("pause", "main", name)]


async def test_waiting_returns_when_the_run_is_final(api):
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(api.http.get(f"/api/v1/runs/{RUN}?wait=30s"))
        await api.operations.waited_for.wait()
        api.operations.end()

    document = await waiting.result().json()
    assert document["status"] == "succeeded"
    assert api.operations.calls == [("wait", "main", RUN, 30.0)]


async def test_no_request_waits_longer_than_a_minute(api):
    api.operations.end()

    async with api.http.get(f"/api/v1/runs/{RUN}?wait=2d") as response:
        assert response.status == 200

    assert api.operations.calls == [("wait", "main", RUN, 60.0)]


async def test_deleting_answers_nothing(api):
    async with api.http.delete(f"/api/v1/runs/{RUN}") as response:
        assert (response.status, await response.read()) == (204, b"")
