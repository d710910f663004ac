"""What a task reaches: nothing, or what its options grant; and what it is told where it reaches nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from pathlib import Path

import pytest

from runner.errors import UnknownTaskError
from support.nodes import running_node
from support.projects import CONFIG, write_project
from support.tls import AUTHORITY, server_context

TASKS = """
    import asyncio, http.client, json, socket, ssl, urllib.request
    from runner import task

    GRANTED = {granted}

    def fetch(parameters):
        context = ssl.create_default_context(cadata=parameters["authority"])
        with urllib.request.urlopen(parameters["url"], timeout=15, context=context) as response:
            return json.load(response)

    @task(network=GRANTED)
    def granted(parameters):
        return fetch(parameters)

    @task
    def denied(parameters):
        return fetch(parameters)

    @task(network=GRANTED)
    def connects(parameters):
        with socket.create_connection((parameters["host"], parameters["port"]), timeout=15) as connection:
            connection.sendall(b"x")
            return len(connection.recv(1))

    @task
    async def aiohttp_connects(parameters):
        import aiohttp
        async with aiohttp.ClientSession() as session:
            await session.get("http://127.0.0.1:%d/" % parameters["port"])

    @task
    def http_connects(parameters):
        http.client.HTTPConnection("127.0.0.1", parameters["port"], timeout=15).request("GET", "/")

    @task
    async def asyncio_connects(parameters):
        await asyncio.open_connection("localhost", parameters["port"])

    @task
    def looks_up(parameters):
        socket.getaddrinfo("example.com", 443)

    @task
    def opens():
        open("/nowhere/at/all")
"""
HINT = '(this task has no network; its option network grants it: ["{tried}"], or True for the whole)'


@contextlib.asynccontextmanager
async def https():
    """A server at https://localhost that answers with the Host it was asked for."""

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        host = next(line.partition(" ")[2] for line in head.splitlines() if line.lower().startswith("host:"))
        body = json.dumps({"host": host}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context())
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def project(folder: Path, *granted: str, config: str = "") -> Path:
    return write_project(folder, {"net.py": TASKS.replace("{granted}", repr(granted))}, CONFIG + config)


def asked(port: int) -> dict[str, str]:
    return {"url": f"https://localhost:{port}/", "authority": AUTHORITY}


async def test_a_task_reaches_the_host_that_is_granted_to_it_by_name_and_tls(tmp_path: Path) -> None:
    async with https() as port, running_node(project(tmp_path, f"localhost:{port}")) as node:
        granted = await node.run("net.granted", asked(port))
        denied = await node.run("net.denied", asked(port))

        assert (granted["status"], granted["result"]) == ("succeeded", {"host": f"localhost:{port}"})
        assert "granted hosts by relay" in granted["attempts"][-1]["sandbox"]
        assert denied["reason"] == "error"
        assert denied["error"]["message"].endswith(HINT.format(tried=f"localhost:{port}"))


async def test_the_config_grants_and_takes_away_by_task(tmp_path: Path) -> None:
    async with https() as port:
        config = f'[tasks."net.denied"]\nnetwork = ["localhost:{port}"]\n[tasks."net.granted"]\nnetwork = false\n'
        async with running_node(project(tmp_path, f"localhost:{port}", config=config)) as node:
            assert (await node.run("net.denied", asked(port)))["status"] == "succeeded"
            assert (await node.run("net.granted", asked(port)))["status"] == "failed"


@pytest.mark.parametrize(
    ("client", "tried"),
    [
        ("denied", "localhost:{port}"),
        ("aiohttp_connects", "127.0.0.1:{port}"),
        ("http_connects", "127.0.0.1:{port}"),
        ("asyncio_connects", "127.0.0.1:{port}"),
        ("looks_up", "example.com:443"),  # no port is known: an example
    ],
)
async def test_an_error_for_want_of_network_names_the_option(tmp_path: Path, client: str, tried: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        async with running_node(project(tmp_path)) as node:
            run = await node.run(f"net.{client}", {"port": port, **asked(port)})

            hint = HINT.format(tried=tried.format(port=port))
            assert run["error"]["message"].endswith(hint)
            assert run["error"]["traceback"].endswith(hint + "\n")
            assert run["why"].endswith(hint)


async def test_another_error_says_nothing_of_the_network(tmp_path: Path) -> None:
    async with running_node(project(tmp_path)) as node:
        assert "network" not in (await node.run("net.opens"))["error"]["traceback"]


async def test_a_task_with_a_list_is_told_what_is_on_it(tmp_path: Path) -> None:
    async with running_node(project(tmp_path, *(f"192.0.2.{number}:443" for number in range(1, 6)))) as node:
        run = await node.run("net.connects", {"host": "192.0.2.9", "port": 443})

        assert run["error"]["message"].endswith(
            "(this task is granted 192.0.2.1:443, 192.0.2.2:443, 192.0.2.3:443 and 2 more; "
            "its option network may list 192.0.2.9:443, which it tried)"
        )


async def test_a_host_that_cannot_be_connected_to_stands_in_the_log_with_the_reason(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with running_node(project(tmp_path, f"localhost:{port}")) as node:
            run = await node.run("net.connects", {"host": "localhost", "port": port})

            assert run["error"]["type"] == "ConnectionResetError"
            assert "option" not in run["error"]["message"]
            assert f"network: cannot connect to localhost:{port}: Connection refused" in await node.log(run["id"])


async def test_a_module_that_connects_while_it_is_imported_is_told_that_this_is_no_place_for_it(tmp_path: Path) -> None:
    source = "import socket\nsocket.create_connection(('192.0.2.1', 443), timeout=5)\ndef run(): ..."
    async with running_node(write_project(tmp_path, {"eager.py": source})) as node:
        problem = node.engine.catalog.problems["eager"]

        assert problem.error.message.endswith("has no network, whatever they are granted: connect in their functions)")


@pytest.mark.parametrize("level", ["restricted", "basic"])
async def test_below_level_full_a_task_with_granted_hosts_is_a_problem_and_the_others_run(
    tmp_path: Path, level: str
) -> None:
    folder = project(tmp_path, "localhost:443", config=f'[sandbox]\nlevel = "{level}"\n')
    async with running_node(folder) as node:
        problem = node.engine.catalog.problems["net.granted"]

        assert problem.file == "tasks/net.py"
        assert problem.error.message == (
            "network of net.granted: single hosts are granted at level full only, and the sandbox of this node is "
            f"{level}; `isolane doctor` says what it lacks"
        )
        with pytest.raises(UnknownTaskError, match=r"tasks/net.py does not work"):
            await node.schedule("net.granted")
        assert (await node.run("net.opens"))["reason"] == "error"
