"""Every error is a problem document, and none tells the inside."""

from __future__ import annotations

import logging

import pytest

from support.raw_http import problem, raw, status


async def test_a_path_that_is_not_there_is_a_problem(api):
    problem = await api.problem("GET", "/api/v1/nothing")

    assert (problem["status"], problem["type"], problem["instance"]) == (
        404,
        "urn:isolane:not-found",
        "/api/v1/nothing",
    )


async def test_a_method_that_is_not_there_names_those_that_are(api):
    async with api.http.put("/api/v1/runs") as response:
        problem = await response.json()

    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD, POST"
    assert problem["detail"] == "PUT is not possible here: use GET, HEAD, POST"


async def test_an_unexpected_exception_is_logged_and_not_told(api, caplog):
    caplog.set_level(logging.ERROR)

    problem = await api.problem("GET", "/api/v1/runs/count")

    assert problem["status"] == 500
    assert "secret of the inside" not in str(problem)
    assert "a secret of the inside" in caplog.text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("statsu=queued", "did you mean 'status'?"),
        ("status=eaten", 'status must be one of "scheduled", "queued"'),
        ("limit=0", "'limit' must be a whole number from 1 to 1000: got '0'"),
        ("limit=1_0", "'limit' must be a whole number"),
        ("limit=" + "9" * 5000, "'limit' must be a whole number"),
        ("task=a&task=b", "'task' may stand only once"),
    ],
)
async def test_a_wrong_query_parameter_is_named(api, query, said):
    problem = await api.problem("GET", f"/api/v1/runs?{query}")

    assert (problem["status"], problem["type"]) == (422, "urn:isolane:invalid-option")
    assert said in problem["detail"]


@pytest.mark.parametrize(
    "call", ["POST runs", "POST runs/batch", "POST runs/x/cancel", "DELETE runs/x", "POST queues/q/purge", "GET tasks"]
)
async def test_no_call_overlooks_a_query_parameter(api, call):
    method, _, path = call.partition(" ")

    problem = await api.problem(method, f"/api/v1/{path}?dry_run=1", data=b"")

    assert "'dry_run' is not known here" in problem["detail"]
    assert api.operations.calls == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"task"', "not JSON: Expecting ':' delimiter: line 1 column 8"),
        (b"", "not JSON"),
        (b'{"n": NaN}', "out of range"),
        (b'{"n": 1e999}', "out of range"),
        (b'"\xff"', "not UTF-8"),
        (b'{"text": "\\ud800"}', "lone surrogate"),
        (b"[" * 20_000, "nested deeper"),
        (b"[" * 40_000, "nested deeper"),
    ],
)
async def test_a_body_that_is_not_strict_json_is_refused(api, body, said):
    problem = await api.problem("POST", "/api/v1/runs/batch", data=body)

    assert (problem["status"], problem["type"]) == (422, "urn:isolane:invalid-value")
    assert said in problem["detail"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused_unread(api, chunked):
    async def endless():
        for _ in range(100):
            yield b" " * 1000

    body = endless() if chunked else b" " * 100_000

    problem = await api.problem("POST", "/api/v1/runs", data=body)

    assert (problem["status"], problem["type"]) == (413, "urn:isolane:too-large")


async def test_a_batch_must_be_a_list_of_runs(api):
    for body in ([], {"runs": {}}, {"runs": [], "more": 1}):
        problem = await api.problem("POST", "/api/v1/runs/batch", json=body)
        assert problem["status"] == 422


async def test_what_a_message_quotes_survives(api):
    problem = await api.problem("GET", '/api/v1/runs/%0A"%3Cb%3E%E2%98%83')

    assert problem["status"] == 404
    assert problem["detail"] == 'no run \n"<b>☃'


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/7.x\r\n\r\n",
        b"G\xe9T / HTTP/1.1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA\0B: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 100 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"b" * 20_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"b" * 60_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + (b"A: " + b"b" * 8_000 + b"\r\n") * 12,
    ],
    ids=lambda head: repr(head[:30]),
)
async def test_what_is_no_http_is_a_problem_too(api, head):
    answer = await raw(api.url, head)

    told = problem(answer)
    assert set(told) == {"type", "title", "status", "detail", "instance"}
    assert told["status"] == status(answer) == (431 if len(head) > 65_536 else 400)
    assert told["type"] == ("urn:isolane:head-too-large" if len(head) > 65_536 else "urn:isolane:bad-request")
    assert "\n" not in told["detail"]
    assert told["detail"].isprintable()
