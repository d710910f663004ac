"""The client for programs without an event loop: blocking, with the standard library only, safe to share by threads.

Connections are kept open and taken from a common heap. A call that can be repeated without harm (`Call.repeatable`) is,
when its connection breaks: runs get their id here, so a reply that was lost never doubles one.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, cast
from urllib.parse import urlsplit

from runner.errors import TransportError
from runner.sdk import calls
from runner.sdk.answers import read_answer, read_line, read_problem
from runner.sdk.calls import Call, Conversation
from runner.sdk.handle import Document, Handle
from runner.sdk.locate import locate_for_code
from runner.sdk.requests import outside_request, outside_requests

if TYPE_CHECKING:
    from typing import Unpack

    from runner.sdk.requests import RunRequest, ScheduleOptions, Task

P = ParamSpec("P")
T = TypeVar("T")

#: Longer than the longest wait that one call asks for.
_TIMEOUT_S = 60.0
_PAUSES_S = (0.0, 0.2, 1.0)
_BROKEN = (ConnectionError, http.client.HTTPException)
_MOST_IDLE = 16


def _performs(
    describe: Callable[P, Call[T]] | Callable[P, Conversation[T]],
) -> Callable[Concatenate[Client, P], T]:
    """The method that carries out what `describe` describes, with its signature and documentation."""

    @wraps(describe)
    def method(self: Client, *args: P.args, **kwargs: P.kwargs) -> T:
        described = describe(*args, **kwargs)
        return self._converse(described) if isinstance(described, Generator) else self._perform(described)

    return cast("Callable[Concatenate[Client, P], T]", method)


class Client:
    """The server's calls as methods.

    Args:
        url: of the server; without it ISOLANE_URL, then what the project's folder says (`runner.sdk.locate`).
        token: without it ISOLANE_TOKEN, then the project's.

    Raises:
        RunnerError: a test calls it, and no server is told: it would find the one that really works in this folder.
        TransportError: no server is told or found; from each method, that it cannot be reached or its reply was lost.
    """

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        self.url, self._token = locate_for_code(url, token)
        self._idle: list[http.client.HTTPConnection] = []

    def scheduleTask(  # noqa: N802
        self, task: Task, parameters: Any = None, **options: Unpack[ScheduleOptions]
    ) -> Handle:
        """Schedule one run; see `runner.scheduleTask`."""
        return self._handle(self._perform(calls.schedule(outside_request(task, parameters, options))))

    def scheduleTasks(self, runs: Sequence[RunRequest]) -> list[Handle]:  # noqa: N802
        """Schedule runs, all or none; see `runner.scheduleTasks`."""
        wanted = outside_requests(runs)
        return [self._handle(run) for run in self._perform(calls.schedule_all(wanted))] if wanted else []

    def getRun(self, run: str) -> Handle:  # noqa: N802
        """The handle of a run, by its id; `NotFoundError` where there is none."""
        return self._handle(self.show(run))

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

    def logs(self, run: str, *, after: int = 0, limit: int | None = None, follow: bool = False) -> Iterator[Document]:
        """A run's log, line by line; with `follow`, until the run is final.

        Raises:
            TransportError: the log was cut off; go on after the last line's `number`.
        """
        call = calls.logs(run, after=after, limit=limit, follow=follow)
        with closing(self._connect()) as connection:
            try:
                response = self._exchange(connection, call)
                if response.status >= 400:
                    raise read_problem(response.status, response.read(), self.url)
                if follow and connection.sock is not None:
                    connection.sock.settimeout(None)  # a run may be silent for as long as it likes
                for line in _lines(response):
                    yield read_line(line, self.url)
            except (OSError, http.client.HTTPException) as error:
                raise self._lost(error) from error

    async def await_run(self, run: str, timeout: timedelta | str | None = None) -> Document:  # noqa: ASYNC109
        """As `wait`, in a thread of its own, for a handle that is awaited."""
        import asyncio  # noqa: PLC0415 - whoever awaits has it already

        return await asyncio.to_thread(self.wait, run, timeout)

    def close(self) -> None:
        """Close the connections that are kept open. The client can still be used."""
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handle(self, run: Document) -> Handle:
        return Handle(self, run["id"], run["task"])

    def _converse(self, conversation: Conversation[T]) -> T:
        answer = None
        while True:
            try:
                call = conversation.send(answer)
            except StopIteration as end:
                return cast("T", end.value)
            answer = self._perform(call)

    def _perform(self, call: Call[T]) -> T:
        pauses = iter(_PAUSES_S)
        while True:
            # A kept connection may have died unnoticed: good enough only for what can be repeated.
            connection = self._idle.pop() if self._idle and call.repeatable else self._connect()
            try:
                response = self._exchange(connection, call)
                status, body = response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                again = call.repeatable and isinstance(error, _BROKEN) and not isinstance(error, ConnectionRefusedError)
                pause_s = next(pauses, None) if again else None
                if pause_s is None:
                    raise self._lost(error) from error
                time.sleep(pause_s)
                continue
            if len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
            else:
                connection.close()
            return read_answer(call, status, body, self.url)

    def _exchange(self, connection: http.client.HTTPConnection, call: Call[Any]) -> http.client.HTTPResponse:
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        body = None
        if call.body is not None:
            body = json.dumps(call.body, ensure_ascii=False, allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        connection.request(call.method, f"{urlsplit(self.url).path}/api/v1{call.path}", body, headers)
        return connection.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        kind = _SecureConnection if parts.scheme == "https" else _Connection
        return kind(cast("str", parts.hostname), parts.port, timeout=_TIMEOUT_S)

    def _lost(self, error: Exception) -> TransportError:
        if isinstance(error, ConnectionRefusedError):
            return TransportError(f'nothing answers at {self.url}: is the server running? ("isolane serve")')
        return TransportError(f"the call to {self.url} failed: {type(error).__name__}: {error}")


class _Connection(http.client.HTTPConnection):
    """Sends the head and the body of a request together; each by itself would be a packet, and wake the server."""

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._unsent = bytearray()
        super().request(*args, **kwargs)
        super().send(self._unsent)

    def send(self, data: Any) -> None:
        self._unsent += data


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    pass


def _lines(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The lines of a stream as they come. `readline` would take a stream that was cut for one that ended."""
    rest = b""
    while part := response.read1():
        *whole, rest = (rest + part).split(b"\n")
        yield from filter(None, whole)  # an empty line only says that the connection is alive
    if rest:
        yield rest
