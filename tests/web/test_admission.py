"""Nothing is done and nothing is read for a caller who may not come in, whatever way a request is written."""

from __future__ import annotations

import asyncio
import re
from itertools import product
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.web.http.admission import OPEN_PATHS
from runner.web.http.paths import is_canonical
from support.raw_http import problem, raw, status

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE")
TOKENS = ("", "Authorization: Bearer expired\r\n", "Authorization: Basic s3cret\r\n", "Cookie: token=s3cret\r\n")
AS_MAIN = "Authorization: Bearer s3cret\r\n"
#: A body is announced, and never sent.
HUGE = "Content-Type: application/json\r\nContent-Length: 1000000000000\r\n"
#: What a page elsewhere can have a browser send without asking the server first.
SIMPLE_KINDS = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain")
CHANGING = ("nodes/x/drain", "runs/x/cancel", "runs/x/retry", "queues/x/pause", "queues/x/purge")


def paths_of(api) -> set[str]:
    resources = api.server._app.router.resources()
    return {re.sub(r"{[^{}]*({[^{}]*})?[^{}]*}", "x", resource.canonical) for resource in resources}


@pytest.mark.parametrize("token", TOKENS)
async def test_every_route_wants_a_token_before_a_body_is_read(api, token):
    calls = list(product(METHODS, [*paths_of(api), "/", "/api", "/api/v1/nothing", "/nothing"]))
    requests = [f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{token}{HUGE}\r\n" for method, path in calls]

    answers = await asyncio.gather(*(raw(api.url, request) for request in requests))

    answered = {call: status(answer) for call, answer in zip(calls, answers, strict=True)}
    is_open = {call for call, code in answered.items() if code != 401}
    assert is_open == set(product(("GET", "HEAD"), OPEN_PATHS))
    assert api.operations.calls == []


@pytest.mark.parametrize("extra", ["Expect: 100-continue\r\n", "Expect: something\r\n", "Content-Encoding: gzip\r\n"])
@pytest.mark.parametrize("path", ["/api/v1/runs/batch", "/nothing"])
async def test_no_header_comes_before_the_token(api, path, extra):
    answer = await raw(api.url, f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{extra}{HUGE}\r\n")

    assert status(answer) == 401


@pytest.mark.parametrize(
    "target",
    [
        "/%61pi/v1/nodes",
        "/ap%69/v1/nodes",
        "/api%2Fv1%2Fnodes",
        "//api/v1/nodes",
        "/api//v1/nodes",
        "/api/v1/./nodes",
        "/healthz/../api/v1/nodes",
        "/x/%2E%2E/api/v1/nodes",
        "/api/v1/nodes/",
        "/api/v1/nodes%00",
        "/api/v1/queues/%FF%FE",
        "/api/v1/queues/%ed%a0%80",
        "/api/v1/queues/%ED%A0%80",
        "/api/v1/queues/a%2fb",
        "/api/v1/queues/\xe9",
        "/api/v1/nodes;x=1/",
        "http://localhost/api/v1/nodes",
        "http://evil.example/api/v1/nodes",
        "/%68ealthz",
        "/healthz/",
        "//healthz",
        "/readyz%3F",
        "/healthz%2F..%2Fapi%2Fv1%2Fnodes",
    ],
)
async def test_an_odd_spelling_is_no_way_in_and_not_found(api, target):
    head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"

    assert status(await raw(api.url, f"{head}\r\n")) in (400, 401)
    assert status(await raw(api.url, f"{head}{AS_MAIN}\r\n")) in (400, 404)
    assert api.operations.calls == []


_PIECE = st.sampled_from(["api", "v1", "nodes", "x", "drain", "healthz", "readyz", ".", "..", "", "a b", "é", "\0"])


@st.composite
def spellings(draw) -> str:
    """A path, each character of which may be written as itself or percent-encoded in capitals or not."""
    text = "/" + "/".join(draw(st.lists(_PIECE, min_size=1, max_size=6)))
    return "".join(
        draw(st.sampled_from([chr(byte), f"%{byte:02X}", f"%{byte:02x}"])) if 0x21 <= byte <= 0x7E else f"%{byte:02X}"
        for byte in text.encode()
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spelling=spellings(), method=st.sampled_from(METHODS))
async def test_however_a_path_is_spelled_a_stranger_gets_no_further(api, spelling, method):
    head = f"{method} {spelling} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"

    answer = await raw(api.url, f"{head}\r\n")

    if spelling in OPEN_PATHS and method in ("GET", "HEAD"):
        assert status(answer) == 200
    else:
        assert status(answer) in (400, 401)
    if not is_canonical(spelling):
        assert status(await raw(api.url, f"{head}{AS_MAIN}\r\n")) in (400, 404)
    assert api.operations.calls == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4))
def test_each_path_has_one_spelling_of_what_needs_none(segments):
    if any(segment in (".", "..") or "\0" in segment for segment in segments):
        return
    try:
        written = "/" + "/".join(quote(segment, safe="") for segment in segments)
    except UnicodeEncodeError:
        return

    assert is_canonical(written)
    for index, character in enumerate(written):
        if character not in "/%" and not (index and "%" in written[max(0, index - 2) : index]):
            assert not is_canonical(f"{written[:index]}%{ord(character):02X}{written[index + 1 :]}")


@pytest.mark.parametrize(
    "name", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "0x7f.1"]
)
@pytest.mark.parametrize("path", ["/healthz", "/api/v1/nodes"])
async def test_on_loopback_another_machines_name_is_refused(api, name, path):
    for port in ("", ":80", f":{api.url.rpartition(':')[2]}"):
        request = f"GET {path} HTTP/1.1\r\nHost: {name}{port}\r\n{AS_MAIN}Connection: close\r\n\r\n"

        answer = await raw(api.url, request)

        assert status(answer) == 421
        assert f"this server is not {name}: call it as localhost or 127.0.0.1" in problem(answer)["detail"]


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.10", "[::1]"])
@pytest.mark.parametrize("port", ["", ":80", ":8420", ":"])
async def test_on_loopback_this_machines_names_are_good_with_any_port(api, name, port):
    answer = await raw(api.url, f"GET /healthz HTTP/1.1\r\nHost: {name}{port}\r\nConnection: close\r\n\r\n")

    assert status(answer) == 200


@pytest.mark.parametrize("hosts", ["", "Host:\r\n", "Host: localhost\r\nHost: evil.example\r\n", "Host: a b\r\n"])
async def test_one_host_must_be_named(api, hosts):
    answer = await raw(api.url, f"GET /healthz HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n")

    assert status(answer) == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "https://localhost.evil", "x"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_page_of_another_origin_is_refused_with_a_token_too(api, origin, method):
    request = f"{method} /api/v1/nodes HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n{AS_MAIN}"
    preflight = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n"

    answer = await raw(api.url, f"{request}{preflight}Connection: close\r\n\r\n")

    assert status(answer) == 403
    assert "another origin" in problem(answer)["detail"]
    assert b"access-control" not in answer.lower()


async def test_a_page_of_its_own_may_call(api):
    host = api.url.removeprefix("http://")
    request = f"GET /api/v1/runs HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n{AS_MAIN}"

    assert status(await raw(api.url, f"{request}Connection: close\r\n\r\n")) == 200


@pytest.mark.parametrize("kind", [*SIMPLE_KINDS, "", "application/json5"])
@pytest.mark.parametrize("path", ["runs", "runs/batch", *CHANGING])
@pytest.mark.parametrize("body", ["", "{}"])
async def test_no_form_changes_anything(api, kind, path, body):
    head = f"POST /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\n{AS_MAIN}Connection: close\r\n"

    answer = await raw(api.url, f"{head}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}")

    assert status(answer) == 415
    assert problem(answer)["detail"] == "send the header `Content-Type: application/json`"
    assert api.operations.calls == []


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
async def test_json_by_any_case_is_json(api, kind):
    async with api.http.post("/api/v1/runs", data=b'{"task": "t"}', headers={"Content-Type": kind}) as response:
        assert response.status == 201


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "x", "identity, gzip"])
async def test_a_packed_body_is_refused_unread(api, coding):
    head = f"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n{AS_MAIN}{HUGE}Content-Encoding: {coding}\r\n\r\n"

    answer = await raw(api.url, head)

    assert status(answer) == 415
    assert "Content-Encoding" in problem(answer)["detail"]


async def test_an_expectation_that_is_not_known_is_refused(api):
    head = f"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n{AS_MAIN}{HUGE}Expect: more\r\n\r\n"

    assert status(await raw(api.url, head)) == 417


async def test_two_tokens_are_none(api):
    head = (
        f"GET /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n{AS_MAIN}Authorization: Bearer bad\r\nConnection: close\r\n"
    )

    assert status(await raw(api.url, f"{head}\r\n")) == 401
