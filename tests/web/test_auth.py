"""A token acts for one app, and nothing under /api answers without one."""

from __future__ import annotations

import hashlib

import pytest

RUN = "/api/v1/runs/019aa3d4-0000-7000-8000-000000000000"


@pytest.mark.parametrize("header", ["", "s3cret", "Bearer", "Bearer ", "Basic s3cret", "Bearer wrong", "Bearer \udcff"])
async def test_without_a_known_token_nothing_is_answered(api, header):
    async with api.http.get("/api/v1/runs", headers={"Authorization": header}) as response:
        problem = await response.json()

    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert problem["type"] == "urn:isolane:unauthorized"
    assert api.operations.calls == []


async def test_even_a_path_that_is_not_there_needs_a_token(api):
    problem = await api.problem("GET", "/api/v1/nothing", headers={"Authorization": ""})

    assert problem["status"] == 401


async def test_a_run_of_another_app_is_not_found(api):
    async with api.http.get(RUN) as own:
        assert own.status == 200

    problem = await api.problem("GET", RUN, headers={"Authorization": "Bearer other"})

    assert problem["status"] == 404


async def test_only_the_digest_is_looked_up_and_not_at_each_call(api):
    for _ in range(5):
        async with api.http.get(RUN) as response:
            assert response.status == 200

    assert api.asked == [hashlib.sha256(b"s3cret").digest()]


async def test_the_scheme_may_be_written_in_any_case(api):
    async with api.http.get(RUN, headers={"Authorization": "bearer s3cret"}) as response:
        assert response.status == 200


async def test_health_needs_no_token(api):
    anonymous = {"Authorization": ""}
    async with (
        api.http.get("/healthz", headers=anonymous) as lives,
        api.http.get("/readyz", headers=anonymous) as ready,
    ):
        assert (lives.status, ready.status) == (200, 200)

    api.operations.is_ready = False
    problem = await api.problem("GET", "/readyz", headers=anonymous)

    assert (problem["status"], problem["detail"]) == (503, "the store is closed")
