"""The server is stopped and started again, or killed, while programs go on calling it: none of them notices."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest

from runner import AsyncClient, Client
from support.blocking import Blocking
from support.projects import write_project
from support.servers import Server, server_in
from support.waiting import eventually_async

CONFIG = """
[runner]
concurrency = 4
memory = "2GB"
stop_grace = "2s"
[defaults]
timeout = "60s"
memory = "128MB"
[[mounts]]
tasks = ["hold"]
source = "shared"
target = "/shared"
writable = true
"""

TASKS = {
    "note.py": "def run(parameters): return parameters['number']",
    "hold.py": """
        import pathlib, time

        def run():
            pathlib.Path("/shared/begun").touch()
            while not pathlib.Path("/shared/go").exists():
                time.sleep(0.01)
    """,
}
CALLERS = 4


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    return write_project(tmp_path, TASKS, CONFIG)


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


class Callers:
    """A web app: requests come all the time, and each schedules a run. What goes wrong is raised at the end."""

    def __init__(self, make: Callable[[], AsyncClient], plain: Client) -> None:
        self.made: list[str] = []
        self._make, self._plain, self._is_over = make, plain, False

    @contextlib.asynccontextmanager
    async def calling(self):
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._schedule_all_the_time())
            group.create_task(asyncio.to_thread(self._plainly))
            try:
                yield
            finally:
                self._is_over = True

    async def more(self, count: int) -> None:
        """Return when so many more runs were scheduled, each reply included."""
        wanted = len(self.made) + count
        await eventually_async(lambda: len(self.made) >= wanted, within_s=60)

    async def _schedule_all_the_time(self) -> None:
        async with self._make() as client:
            while not self._is_over:
                handle = await client.scheduleTask("note", {"number": len(self.made)}, tags=["called"])
                self.made.append(handle.id)
                await asyncio.sleep(0.01)

    def _plainly(self) -> None:
        with self._plain as client:
            while not self._is_over:
                handle = client.scheduleTask("note", {"number": len(self.made)}, tags=["called"])
                self.made.append(handle.id)


async def stop(server: Server) -> None:
    assert await asyncio.to_thread(server.stop) == 0, server.log()


async def kill(server: Server) -> None:
    await asyncio.to_thread(server.kill)


@pytest.mark.parametrize("end", [stop, kill])
@pytest.mark.parametrize("is_found", [True, False], ids=["found in the folder", "told its address"])
async def test_callers_notice_nothing_of_a_restart(
    project: Path, monkeypatch: pytest.MonkeyPatch, end: Callable[[Server], Awaitable[None]], *, is_found: bool
) -> None:
    monkeypatch.setattr("runner.sdk.locate._tested_by", lambda: None)
    monkeypatch.delenv("ISOLANE_URL", raising=False)
    monkeypatch.delenv("ISOLANE_TOKEN", raising=False)
    monkeypatch.chdir(project)
    port = 0 if is_found else free_port()
    with server_in(project) as server:
        client = await asyncio.to_thread(server.start, port)
        token = (project / ".isolane" / "token").read_text().strip()
        where = () if is_found else (client.url, token)
        callers = Callers(lambda: AsyncClient(*where, patience="60s"), Client(*where, patience="60s"))
        async with callers.calling():
            held = await asyncio.to_thread(client.scheduleTask, "hold")
            await eventually_async((project / "shared" / "begun").exists)
            await callers.more(100)
            await end(server)
            client.close()
            (project / "shared" / "go").touch()
            client = await asyncio.to_thread(server.start, port)
            await callers.more(100)

        await eventually_async(lambda: client.count()["succeeded"] == len(callers.made) + 1, within_s=120)
        assert sum(client.count().values()) == len(set(callers.made)) + 1 == len(callers.made) + 1
        assert client.show(held.id)["attempts"][0]["reason"] == ("drained" if end is stop else "lost")
        client.close()
        await stop(server)


async def test_a_draining_server_answers_all_but_load_balancers_as_before(project: Path) -> None:
    write_project(project, TASKS, CONFIG.replace('stop_grace = "2s"', 'stop_grace = "60s"'))
    with server_in(project) as server:
        client = await asyncio.to_thread(server.start)
        token = (project / ".isolane" / "token").read_text().strip()
        async with AsyncClient(client.url, token, patience=0) as caller:
            held = await caller.scheduleTask("hold")
            await eventually_async((project / "shared" / "begun").exists)
            waiting = asyncio.create_task(held.result())

            server.ask_to_stop()

            await eventually_async(lambda: "Stopping" in server.log())
            assert await asyncio.to_thread(_readiness, client.url) == (503, "draining")
            stored = [await caller.scheduleTask("note", {"number": number}) for number in range(10)]
            assert {await handle.status() for handle in stored} == {"queued"}
            assert (await caller.count())["queued"] == 10
            assert len((await caller.runs())["items"]) == 11
            assert (await caller.cancel(stored[0].id))["status"] == "cancelled"
            (project / "shared" / "go").touch()
            assert await waiting is None  # it had its grace, and those who wait for it hear of its end
        client.close()
        assert await asyncio.to_thread(server.process.wait, 30) == 0

        client = await asyncio.to_thread(server.start)
        await eventually_async(lambda: client.count()["succeeded"] == 10)
        client.close()
        await stop(server)


@pytest.mark.parametrize("kind", [Client, Blocking], ids=["Client", "AsyncClient"])
@pytest.mark.parametrize("at_once", [1, 3])
def test_what_was_stored_before_its_answer_was_lost_is_found_again(
    project: Path, kind: type[Client], at_once: int
) -> None:
    with server_in(project) as server, LosingAnswers(server) as door:
        door.to(server.start())
        token = (project / ".isolane" / "token").read_text().strip()
        client = kind(door.url, token, patience="60s")

        if at_once == 1:
            handles = [client.scheduleTask("note", {"number": 7})]
        else:
            handles = client.scheduleTasks([{"task": "note", "parameters": {"number": 7}}] * at_once)

        assert door.is_lost
        assert [handle.result("60s") for handle in handles] == [7] * at_once
        assert client.count()["succeeded"] == sum(client.count().values()) == at_once
        assert {run["id"] for run in client.runs()["items"]} == {handle.id for handle in handles}
        client.close()
        assert server.stop() == 0


class LosingAnswers:
    """Stands before a server. When the first answer comes, it kills the server instead of passing it on."""

    def __init__(self, server: Server) -> None:
        self.is_lost = False
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def to(self, behind: Client) -> None:
        """Pass on to this server from now on."""
        self._behind = urlsplit(behind.url).port
        behind.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                near, _ = self._listening.accept()
                with near, socket.create_connection(("127.0.0.1", self._behind)) as far:
                    while request := near.recv(1 << 20):
                        far.sendall(request)
                        answer = far.recv(1 << 20)
                        if not self.is_lost:
                            self.is_lost = True
                            self._server.kill()
                            self.to(self._server.start())
                            break
                        near.sendall(answer)


def _readiness(url: str) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{url}/readyz", timeout=10)
    with caught.value as answer:
        text = answer.read().decode()
        return answer.code, "draining" if "draining" in text else text
