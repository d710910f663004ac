"""The port: found, taken, given back."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from runner.errors import ConfigError
from runner.web.server import Server


def server_like(api) -> Server:
    async def authenticate(_: bytes) -> str | None:
        return "main"

    return Server(api.operations, authenticate, parameters_bytes=1000)


async def test_a_port_in_use_says_so_and_what_to_do(api):
    port = int(api.url.rpartition(":")[2])
    second = server_like(api)

    with pytest.raises(ConfigError, match=rf"port {port} is in use .*; pass --port"):
        await second.start("127.0.0.1", port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
async def test_a_host_of_somebody_else_is_refused(api, host):
    with pytest.raises(ConfigError, match=host):
        await server_like(api).start(host, 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
async def test_the_address_that_is_told_can_be_reached(api, host):
    server = server_like(api)
    url = await server.start(host, 0)

    async with aiohttp.ClientSession() as http, http.get(f"{url}/healthz") as response:
        assert response.status == 200

    await server.stop()
    await server.stop()


async def test_what_comes_while_it_closes_is_told_to_come_again(api):
    async with api.http.get("/api/v1/queues/q") as before:
        assert before.status != 503
    api.server._stopping.set()  # and not closed yet

    async with api.http.post("/api/v1/runs", json={"task": "greet"}) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert (await response.json())["type"] == "urn:isolane:stopping"
    assert api.operations.calls == []


async def test_stopping_answers_those_who_wait(api):
    run = "/api/v1/runs/019aa3d4-0000-7000-8000-000000000000?wait=60s"
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(api.http.get(run))
        await api.operations.waited_for.wait()
        await api.server.stop()

    assert (await waiting.result().json())["status"] == "running"
