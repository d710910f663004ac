"""The client for programs with an event loop. The same calls as `Client`, each awaited."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, cast

from aiohttp import ClientConnectorError, ClientError, ClientPayloadError, ClientSession, ClientTimeout
from yarl import URL

from runner.errors import TransportError
from runner.sdk import calls
from runner.sdk.answers import read_answer, read_line, read_problem
from runner.sdk.calls import Call, Conversation
from runner.sdk.handle import AsyncHandle, Document
from runner.sdk.locate import locate_for_code
from runner.sdk.requests import outside_request, outside_requests

if TYPE_CHECKING:
    from typing import Unpack

    from runner.sdk.requests import RunRequest, ScheduleOptions, Task

P = ParamSpec("P")
T = TypeVar("T")

#: Longer than the longest wait that one call asks for.
_TIMEOUT = ClientTimeout(total=60)
_ENDLESS = ClientTimeout(total=None, sock_connect=10)
_PAUSES_S = (0.0, 0.2, 1.0)


def _performs(
    describe: Callable[P, Call[T]] | Callable[P, Conversation[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """The method that carries out what `describe` describes, with its signature and documentation."""

    @wraps(describe)
    async def method(self: AsyncClient, *args: P.args, **kwargs: P.kwargs) -> T:
        described = describe(*args, **kwargs)
        return await (self._converse(described) if isinstance(described, Generator) else self._perform(described))

    return cast("Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]", method)


class AsyncClient:
    """The server's calls as methods to await; an async context manager, or call `close`.

    Args:
        url: of the server; without it ISOLANE_URL, then what the project's folder says (`runner.sdk.locate`).
        token: without it ISOLANE_TOKEN, then the project's.

    Raises:
        RunnerError: a test calls it, and no server is told: it would find the one that really works in this folder.
        TransportError: no server is told or found; from each method, that it cannot be reached or its reply was lost.
    """

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        self.url, self._token = locate_for_code(url, token)
        self._session: ClientSession | None = None

    async def scheduleTask(  # noqa: N802
        self, task: Task, parameters: Any = None, **options: Unpack[ScheduleOptions]
    ) -> AsyncHandle:
        """Schedule one run; see `runner.scheduleTask`."""
        return self._handle(await self._perform(calls.schedule(outside_request(task, parameters, options))))

    async def scheduleTasks(self, runs: Sequence[RunRequest]) -> list[AsyncHandle]:  # noqa: N802
        """Schedule runs, all or none; see `runner.scheduleTasks`."""
        wanted = outside_requests(runs)
        return [self._handle(run) for run in await self._perform(calls.schedule_all(wanted))] if wanted else []

    async def getRun(self, run: str) -> AsyncHandle:  # noqa: N802
        """The handle of a run, by its id; `NotFoundError` where there is none."""
        return self._handle(await self.show(run))

    schedule_task, schedule_tasks, get_run = scheduleTask, scheduleTasks, getRun

    show = _performs(calls.show)
    wait = _performs(calls.wait)
    cancel = _performs(calls.cancel)
    retry = _performs(calls.retry)
    delete = _performs(calls.delete)
    runs = _performs(calls.runs)
    count = _performs(calls.count)
    queues = _performs(calls.queues)
    queue = _performs(calls.queue)
    pause = _performs(calls.pause)
    resume = _performs(calls.resume)
    purge = _performs(calls.purge)
    release = _performs(calls.release)
    nodes = _performs(calls.nodes)
    drain = _performs(calls.drain)
    undrain = _performs(calls.undrain)
    tasks = _performs(calls.tasks)
    task = _performs(calls.task)

    async def logs(
        self, run: str, *, after: int = 0, limit: int | None = None, follow: bool = False
    ) -> AsyncIterator[Document]:
        """A run's log, line by line; with `follow`, until the run is final.

        Raises:
            TransportError: the log was cut off; go on after the last line's `number`.
        """
        call = calls.logs(run, after=after, limit=limit, follow=follow)
        try:
            async with self._request(call, _ENDLESS if follow else _TIMEOUT) as response:
                if response.status >= 400:
                    raise read_problem(response.status, await response.read(), self.url)
                while line := await response.content.readline():
                    if not line.isspace():  # an empty one only says that the connection is alive
                        yield read_line(line, self.url)
        except (ClientError, TimeoutError) as error:
            raise self._lost(error) from error

    async def close(self) -> None:
        """Close the connections that are kept open. The client can still be used."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _handle(self, run: Document) -> AsyncHandle:
        return AsyncHandle(self, run["id"], run["task"])

    async def _converse(self, conversation: Conversation[T]) -> T:
        answer = None
        while True:
            try:
                call = conversation.send(answer)
            except StopIteration as end:
                return cast("T", end.value)
            answer = await self._perform(call)

    async def _perform(self, call: Call[T]) -> T:
        pauses = iter(_PAUSES_S)
        while True:
            try:
                async with self._request(call, _TIMEOUT) as response:
                    status, body = response.status, await response.read()
            except (ClientError, TimeoutError) as error:
                broken = not isinstance(error, ClientConnectorError | TimeoutError)
                pause_s = next(pauses, None) if call.repeatable and broken else None
                if pause_s is None:
                    raise self._lost(error) from error
                await asyncio.sleep(pause_s)
                continue
            return read_answer(call, status, body, self.url)

    def _request(self, call: Call[Any], timeout: ClientTimeout) -> Any:
        if self._session is None:
            # Long lines of a log are read whole.
            self._session = ClientSession(read_bufsize=1 << 22)
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        body = None
        if call.body is not None:
            body = json.dumps(call.body, ensure_ascii=False, allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        # Encoded already: a slash in a queue's name must stay encoded.
        url = URL(f"{self.url}/api/v1{call.path}", encoded=True)
        return self._session.request(call.method, url, data=body, headers=headers, timeout=timeout)

    def _lost(self, error: Exception) -> TransportError:
        if isinstance(error, ClientConnectorError):
            return TransportError(f'nothing answers at {self.url}: is the server running? ("isolane serve")')
        if isinstance(error, ClientPayloadError):
            return TransportError(f"the answer of {self.url} was cut off: {error}")
        return TransportError(f"the call to {self.url} failed: {type(error).__name__}: {error}")
