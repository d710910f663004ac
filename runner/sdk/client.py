"""The client for programs without an event loop: blocking, with the standard library only, safe to share by threads.

Connections are kept open and taken from a common heap. A server that is not there is waited for, see
`runner.sdk.patience`.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, cast
from urllib.parse import urlsplit

from runner.errors import TransportError
from runner.sdk import http_calls
from runner.sdk.handle import Document, Handle
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
_TIMEOUT_S = 60.0
_MOST_IDLE = 16


def _performs(
    describe: Callable[P, HttpCall[T]] | Callable[P, Conversation[T]],
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
        self._idle: list[http.client.HTTPConnection] = []

    @property
    def url(self) -> str:
        """Where the server is; raises as a method does that does not wait for it."""
        try:
            return self._where.find()[0]
        except Lost as lost:
            raise lost.error from None

    def scheduleTask(  # noqa: N802
        self, task: Task, parameters: Any = None, **options: Unpack[CallKeywords]
    ) -> Handle:
        """Schedule one run; see `runner.scheduleTask`."""
        return self._handle(self._perform(http_calls.schedule(outside_request(task, parameters, options))))

    def scheduleTasks(self, runs: Sequence[RunRequest]) -> list[Handle]:  # noqa: N802
        """Schedule runs, all or none; see `runner.scheduleTasks`."""
        wanted = outside_requests(runs)
        return [self._handle(run) for run in self._perform(http_calls.schedule_all(wanted))] if wanted else []

    def getRun(self, run: str) -> Handle:  # noqa: N802
        """The handle of a run, by its id; `NotFoundError` where there is none."""
        return self._handle(self.show(run))

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

    def logs(self, run: str, *, after: int = 0, limit: int | None = None, follow: bool = False) -> Iterator[Document]:
        """A run's log, line by line; with `follow`, until the run is final. Where it is cut off, it is taken up again.

        Raises:
            TransportError: that did not work; go on after the last line's `number`.
        """
        patience = Patience(self._patience_s)
        while True:
            call = http_calls.logs(run, after=after, limit=limit, follow=follow)
            try:
                with closing(self._stream(call, endless=follow)) as lines:
                    for line in lines:
                        if line["number"] > after:
                            after, patience = line["number"], Patience(self._patience_s)
                            limit = limit and limit - 1
                            yield line
                            if limit == 0:
                                return
            except Lost as lost:
                self._pause(patience.pause_s(lost, repeatable=True), lost)
            else:
                return

    def _stream(self, call: HttpCall[Any], *, endless: bool) -> Generator[Document, None, None]:
        url, token = self._where.find()
        with closing(self._connect(url)) as connection:
            try:
                response = _exchange(connection, call, url, token)
                if response.status >= 400:
                    raise read_problem(response.status, response.read(), url)
                if endless and connection.sock is not None:
                    connection.sock.settimeout(None)  # a run may be silent for as long as it likes
                for line in _lines(response):
                    yield read_line(line, url)
            except (OSError, http.client.HTTPException) as error:
                raise self._lost(error, url) from error

    async def await_run(self, run: str, timeout: timedelta | str | None = None) -> Document:  # noqa: ASYNC109
        """As `wait`, in a thread of its own, for a handle that is awaited."""
        import asyncio  # noqa: PLC0415 - whoever awaits has it already

        return await asyncio.to_thread(self.wait, run, timeout)

    def close(self) -> None:
        """Close the connections that are kept open. The client can still be used."""
        while (connection := self._kept()) is not None:
            connection.close()

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

    def _perform(self, call: HttpCall[T]) -> T:
        patience = Patience(self._patience_s)
        while True:
            try:
                return self._try(call)
            except Lost as lost:
                self._pause(patience.pause_s(lost, repeatable=call.repeatable), lost)

    def _pause(self, pause_s: float, _: Lost) -> None:
        """Wait before the next try. The server may be somewhere else by then."""
        self._where.forget()
        time.sleep(pause_s)

    def _try(self, call: HttpCall[T]) -> T:
        url, token = self._where.find()
        # A kept connection may have died unnoticed: good enough only for what can be repeated.
        kept = self._kept() if call.repeatable else None
        connection = kept or self._connect(url)
        try:
            response = _exchange(connection, call, url, token)
            status, body = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.close()  # what else is kept is hardly better
            raise self._lost(error, url) from error
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        return read_answer(call, status, body, url)

    def _kept(self) -> http.client.HTTPConnection | None:
        """A connection that is open; another thread may take the last one at any moment."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connect(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        kind = _SecureConnection if parts.scheme == "https" else _Connection
        connection = kind(cast("str", parts.hostname), parts.port, timeout=_TIMEOUT_S)
        try:
            connection.connect()
        except OSError as error:
            if not is_absent(error):
                raise _failed(error, url) from error
            absent = TransportError(f'nothing answers at {url}: is the server running? ("isolane serve")')
            raise Lost(absent, may_have_acted=False) from error
        return connection

    @staticmethod
    def _lost(error: Exception, url: str) -> TransportError | Lost:
        """What to raise where no answer came."""
        failed = _failed(error, url)
        is_broken = isinstance(error, ConnectionError | http.client.IncompleteRead)
        return Lost(failed, may_have_acted=True) if is_broken else failed


def _failed(error: Exception, url: str) -> TransportError:
    return TransportError(f"the call to {url} failed: {type(error).__name__}: {error}")


def _exchange(
    connection: http.client.HTTPConnection, call: HttpCall[Any], url: str, token: str | None
) -> http.client.HTTPResponse:
    headers, body = call.message(token)
    connection.request(call.method, f"{urlsplit(url).path}/api/v1{call.path}", body, headers)
    return connection.getresponse()


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
