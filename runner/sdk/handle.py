"""Handles: a run that was scheduled, to ask about and to wait for.

A handle knows its run's id and whom to ask (`Source`); it keeps no state of the run, so that it is never out of date.
A timeout is passed on to whoever waits (the runner or the server), since it is there that the waiting costs something.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any, Protocol

from runner.domain.status import FINAL
from runner.errors import RunFailedError, WaitTimeoutError
from runner.units import describe_seconds, seconds

if TYPE_CHECKING:
    from datetime import timedelta

Document = dict[str, Any]


class Source(Protocol):
    """Whom a handle asks."""

    def show(self, run: str) -> Document:
        """The run as it stands."""

    def wait(self, run: str, timeout: timedelta | str | None = None) -> Document:
        """The run when it is final or the time is over, whichever is first."""

    async def await_run(self, run: str, timeout: timedelta | str | None = None) -> Document:  # noqa: ASYNC109
        """As `wait`, without stopping the event loop."""


class Handle:
    """One scheduled run.

    Attributes:
        id: of the run.
        task: the name of its task.
    """

    __slots__ = ("_source", "id", "task")

    def __init__(self, source: Source, id: str, task: str) -> None:  # noqa: A002 - its name everywhere
        self._source, self.id, self.task = source, id, task

    def run(self) -> Document:
        """The whole run as a document, as it stands now.

        Raises:
            NotFoundError: it was deleted, or it waits for its parent's success and is not there yet.
        """
        return self._source.show(self.id)

    def status(self) -> str:
        """Where the run stands, such as "queued" or "succeeded"."""
        return str(self.run()["status"])

    def is_completed(self) -> bool:
        """Whether the run has reached a final status, whichever."""
        return self.status() in FINAL

    def result(self, timeout: timedelta | str | None = None) -> Any:
        """Wait for the run, and give what it returned.

        Args:
            timeout: how long to wait, a timedelta or a duration such as "30s"; without it, for as long as it takes.

        Raises:
            RunFailedError: it ended, and not in success; `reason` says why.
            WaitTimeoutError: it goes on, but the time to wait is over.
            DeadlockError: it could never start while this task waits for it.
            NotFoundError: it was deleted.
        """
        return outcome(self._source.wait(self.id, timeout), timeout)

    async def aresult(self, timeout: timedelta | str | None = None) -> Any:  # noqa: ASYNC109
        """As `result`, without stopping the event loop."""
        return outcome(await self._source.await_run(self.id, timeout), timeout)

    def __await__(self) -> Generator[Any, None, Handle]:
        """Itself, at once: `await scheduleTask(...)` reads well in an async task, and is not needed."""
        yield from ()
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.task} {self.id}>"


class AsyncHandle:
    """One scheduled run, to ask about with `await`; see `Handle`."""

    __slots__ = ("_source", "id", "task")

    def __init__(self, source: AsyncSource, id: str, task: str) -> None:  # noqa: A002 - its name everywhere
        self._source, self.id, self.task = source, id, task

    async def run(self) -> Document:
        """The whole run as a document, as it stands now."""
        return await self._source.show(self.id)

    async def status(self) -> str:
        """Where the run stands, such as "queued" or "succeeded"."""
        return str((await self.run())["status"])

    async def is_completed(self) -> bool:
        """Whether the run has reached a final status, whichever."""
        return await self.status() in FINAL

    async def result(self, timeout: timedelta | str | None = None) -> Any:  # noqa: ASYNC109
        """Wait for the run, and give what it returned; errors as of `Handle.result`."""
        return outcome(await self._source.wait(self.id, timeout), timeout)

    aresult = result

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.task} {self.id}>"


class AsyncSource(Protocol):
    """Whom an `AsyncHandle` asks."""

    def show(self, run: str) -> Awaitable[Document]:
        """The run as it stands."""

    def wait(self, run: str, timeout: timedelta | str | None = None) -> Awaitable[Document]:
        """The run when it is final or the time is over, whichever is first."""


def outcome(run: Document, timeout: timedelta | str | None) -> Any:
    """What a run that was waited for came to: its result, or the error that says why there is none."""
    if run["status"] not in FINAL:
        waited = describe_seconds(wait_s(timeout) or 0)
        raise WaitTimeoutError(f"run {run['id']} of task {run['task']} is {run['status']} after {waited} of waiting")
    if run["status"] != "succeeded":
        raise RunFailedError(run)
    return run["result"]


def wait_s(timeout: timedelta | str | None) -> float | None:
    """The seconds of a time to wait, `None` for as long as it takes."""
    return None if timeout is None else seconds(timeout, "timeout")
