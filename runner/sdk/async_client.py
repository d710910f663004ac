"""The client for programs with an event loop. The same calls as `Client`, each awaited, and cancelled at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Sequence
from contextlib import aclosing
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, cast

from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
)
from yarl import URL

from runner.errors import TransportError
from runner.sdk import http_calls
from runner.sdk.handle import AsyncHandle, Document
from runner.sdk.http_answers import read_answer, read_line, read_problem
from runner.sdk.http_calls import Conversation, HttpCall
from runner.sdk.locate import Whereabouts, locate_for_code
from runner.sdk.patience import PATIENCE, Lost, Patience, is_absent, patience_s
from runner.sdk.schedule_requests import outside_request, outside_requests

if TYPE_CHECKING:
    from typing import Unpack

    from runner.domain.options.table import CallKeywords, RunRequest
    from runner.sdk.schedule_requests import Task

P = ParamSpec("P")
T = TypeVar("T")

#: Longer than the longest wait that one call asks for.
_TIMEOUT = ClientTimeout(total=60)
_ENDLESS = ClientTimeout(total=None, sock_connect=10)


def _performs(
    describe: Callable[P, HttpCall[T]] | Callable[P, Conversation[T]],
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
        url: of the server; without it ISOLANE_URL, then what the project's folder says (`runner.sdk.locate`). Where it
            is, is found out at the first call: a client can be made before the server is there.
        token: without it ISOLANE_TOKEN, then the project's.
        patience: how long a call waits for a server that is not there, such as one that is being started again, a
            timedelta or a duration; 0 for not at all. What is waited out: `runner.sdk.patience`.

    Raises:
        InvalidOptionError: the address or the patience is none.
        RunnerError: (from a method) a test calls it, and no server is told: it would find the one that really works in
            this folder.
        TransportError: (from a method) no server is told or found, it cannot be reached, or its reply was lost.
    """

    #: How it finds its server.
    _locate = staticmethod(locate_for_code)

    def __init__(
        self, url: str | None = None, token: str | None = None, *, patience: timedelta | str | float = PATIENCE
    ) -> None:
        self._where = Whereabouts(url, token, self._locate)
        self._patience_s = patience_s(patience)
        self._session: ClientSession | None = None

    @property
    def url(self) -> str:
        """Where the server is; raises as a method does that does not wait for it."""
        try:
            return self._where.find()[0]
        except Lost as lost:
            raise lost.error from None

    async def scheduleTask(  # noqa: N802
        self, task: Task, parameters: Any = None, **options: Unpack[CallKeywords]
    ) -> AsyncHandle:
        """Schedule one run; see `runner.scheduleTask`."""
        return self._handle(await self._perform(http_calls.schedule(outside_request(task, parameters, options))))

    async def scheduleTasks(self, runs: Sequence[RunRequest]) -> list[AsyncHandle]:  # noqa: N802
        """Schedule runs, all or none; see `runner.scheduleTasks`."""
        wanted = outside_requests(runs)
        return [self._handle(run) for run in await self._perform(http_calls.schedule_all(wanted))] if wanted else []

    async def getRun(self, run: str) -> AsyncHandle:  # noqa: N802
        """The handle of a run, by its id; `NotFoundError` where there is none."""
        return self._handle(await self.show(run))

    schedule_task, schedule_tasks, get_run = scheduleTask, scheduleTasks, getRun

    show = _performs(http_calls.show)
    wait = _performs(http_calls.wait)
    cancel = _performs(http_calls.cancel)
    retry = _performs(http_calls.retry)
    delete = _performs(http_calls.delete)
    runs = _performs(http_calls.runs)
    count = _performs(http_calls.count)
    queues = _performs(http_calls.queues)
    queue = _performs(http_calls.queue)
    pause = _performs(http_calls.pause)
    resume = _performs(http_calls.resume)
    purge = _performs(http_calls.purge)
    release = _performs(http_calls.release)
    nodes = _performs(http_calls.nodes)
    drain = _performs(http_calls.drain)
    undrain = _performs(http_calls.undrain)
    tasks = _performs(http_calls.tasks)
    task = _performs(http_calls.task)

    async def logs(
        self, run: str, *, after: int = 0, limit: int | None = None, follow: bool = False
    ) -> AsyncIterator[Document]:
        """A run's log, line by line; with `follow`, until the run is final. Where it is cut off, it is taken up again.

        Raises:
            TransportError: that did not work; go on after the last line's `number`.
        """
        patience = Patience(self._patience_s)
        while True:
            call = http_calls.logs(run, after=after, limit=limit, follow=follow)
            try:
                async with aclosing(self._stream(call, _ENDLESS if follow else _TIMEOUT)) as lines:
                    async for line in lines:
                        if line["number"] > after:
                            after, patience = line["number"], Patience(self._patience_s)
                            limit = limit and limit - 1
                            yield line
                            if limit == 0:
                                return
            except Lost as lost:
                await self._pause(patience.pause_s(lost, repeatable=True))
            else:
                return

    async def _stream(self, call: HttpCall[Any], within: ClientTimeout) -> AsyncGenerator[Document, None]:
        url, token = self._where.find()
        try:
            async with self._request(call, url, token, within) as response:
                if response.status >= 400:
                    raise read_problem(response.status, await response.read(), url)
                while line := await response.content.readline():
                    if not line.isspace():  # an empty one only says that the connection is alive
                        yield read_line(line, url)
        except (ClientError, TimeoutError) as error:
            raise _lost(error, url) from error

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

    async def _perform(self, call: HttpCall[T]) -> T:
        patience = Patience(self._patience_s)
        while True:
            try:
                return await self._try(call)
            except Lost as lost:
                await self._pause(patience.pause_s(lost, repeatable=call.repeatable))

    async def _pause(self, pause_s: float) -> None:
        """Wait before the next try. The server may be somewhere else by then."""
        self._where.forget()
        await asyncio.sleep(pause_s)

    async def _try(self, call: HttpCall[T]) -> T:
        url, token = self._where.find()
        try:
            async with self._request(call, url, token, _TIMEOUT) as response:
                status, body = response.status, await response.read()
        except (ClientError, TimeoutError) as error:
            raise _lost(error, url) from error
        return read_answer(call, status, body, url)

    def _request(self, call: HttpCall[Any], url: str, token: str | None, timeout: ClientTimeout) -> Any:
        if self._session is None:
            # Long lines of a log are read whole.
            self._session = ClientSession(read_bufsize=1 << 22)
            # It would send what HTTP calls idempotent a second time by itself: a run cannot be deleted twice.
            self._session._retry_connection = False  # noqa: SLF001 - there is no other way to say so
        headers, body = call.message(token)
        # Encoded already: a slash in a queue's name must stay encoded.
        place = URL(f"{url}/api/v1{call.path}", encoded=True)
        return self._session.request(call.method, place, data=body, headers=headers, timeout=timeout)


def _lost(error: Exception, url: str) -> TransportError | Lost:
    """What to raise where no answer came."""
    failed = TransportError(f"the call to {url} failed: {type(error).__name__}: {error}")
    if isinstance(error, TimeoutError | ClientSSLError):
        return failed
    if isinstance(error, ClientConnectorError):
        if not is_absent(error.os_error):
            return failed
        absent = TransportError(f'nothing answers at {url}: is the server running? ("isolane serve")')
        return Lost(absent, may_have_acted=False)
    if isinstance(error, ClientPayloadError):
        return Lost(TransportError(f"the answer of {url} was cut off: {error}"), may_have_acted=True)
    return Lost(failed, may_have_acted=True) if isinstance(error, ClientConnectionError) else failed
