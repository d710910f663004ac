"""`scheduleTask` and its kin as plain functions: inside a task through its link, outside through the server.

Both names of each function, `scheduleTask` and `schedule_task`, are one object.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, cast

from runner.errors import LimitExceededError, RunnerError
from runner.sdk import link
from runner.sdk.handle import Document, Handle, wait_s
from runner.sdk.schedule_requests import request, requests

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from typing import Unpack

    from runner.domain.options.table import CallKeywords, RunRequest
    from runner.sdk.client import Client
    from runner.sdk.schedule_requests import Request, Task

#: What a task can hand over in one call; the channel takes a little more.
_BATCH_BYTES = 15 << 20


def scheduleTask(task: Task, parameters: Any = None, **options: Unpack[CallKeywords]) -> Handle:  # noqa: N802
    """Schedule one run of a task. When this returns, the run is stored and survives a power cut.

    In an async task it may be awaited or not.

    Args:
        task: its name, or the function itself.
        parameters: a dict that JSON can carry, or a dataclass of such; without it, an empty one.
        **options:
            at: not before this instant, an aware datetime or RFC 3339.
            after: not before so long from now: a timedelta, a duration such as "90s", or a number of milliseconds.
            queue: runs of one queue go one at a time; "" for none, where the task has one.
            priority: higher goes first; 0 where the task says nothing else.
            idempotency_key: a second run of the task with the same key is the first one. A key counts for the task that
                schedules, whichever of its runs that is, and for all that schedule from outside together.
            expires: how long after its due time it may be started, a timedelta, a duration or "none".
            tags: labels to find it by.
            retry: a `Retry`, or a dict of what differs from the task's own policy.
            timeout: of one attempt, a timedelta, a duration or "none".
            with_success: inside a task only: it appears in the same commit as this run's success, or never.

    Raises:
        InvalidError: (one of its kinds) the call is wrong; names what, where, and the fix.
        ConflictError: the idempotency key was used with other parameters.
        LimitExceededError: too many runs wait.
        TransportError: the server cannot be reached.
        RunnerError: called in a running event loop outside a task; use `AsyncClient` there.
    """
    here = link.current()
    if here is None:
        return _client().scheduleTask(task, parameters, **options)
    [handle] = _schedule(here, [request(task, parameters, options, here.parameters_bytes)])
    return handle


def scheduleTasks(runs: Sequence[RunRequest]) -> list[Handle]:  # noqa: N802
    """Schedule many runs, all or none; each is a dict of what `scheduleTask` takes, `task` included.

    Raises:
        RunnerError: (one of its kinds) as `scheduleTask`; an error in one run says which.
    """
    here = link.current()
    return _client().scheduleTasks(runs) if here is None else _schedule(here, requests(runs, here.parameters_bytes))


def getRun(run: str) -> Handle:  # noqa: N802
    """The handle of a run that was scheduled before, by its id; in a task, of one that its own run has led to.

    Raises:
        NotFoundError: no such run, or, in a task, none that its own run scheduled or that came of those.
    """
    here = link.current()
    if here is None:
        return _client().getRun(run)
    document = _LinkSource(here).show(run)
    return Handle(_LinkSource(here), document["id"], document["task"])


schedule_task, schedule_tasks, get_run = scheduleTask, scheduleTasks, getRun


class _LinkSource:
    """Asks the runner through the link of a running task."""

    def __init__(self, here: link.Link) -> None:
        self._link = here

    def show(self, run: str) -> Document:
        return cast("Document", self._link.call("show", {"run": run}))

    def wait(self, run: str, timeout: timedelta | str | None = None) -> Document:
        return cast("Document", self._link.call("wait", {"run": run, "timeout": wait_s(timeout)}))

    async def await_run(self, run: str, timeout: timedelta | str | None = None) -> Document:  # noqa: ASYNC109
        return cast("Document", await self._link.acall("wait", {"run": run, "timeout": wait_s(timeout)}))


def _schedule(here: link.Link, wanted: list[Request]) -> list[Handle]:
    if len(wanted) > 1:
        _check_batch(wanted)
    documents = here.call("schedule", {"runs": wanted}) if wanted else []
    source = _LinkSource(here)
    return [Handle(source, document["id"], document["task"]) for document in documents]


def _check_batch(wanted: list[Request]) -> None:
    import json  # noqa: PLC0415 - loaded by the channel anyway

    size = sum(len(json.dumps(one, ensure_ascii=False).encode()) for one in wanted)
    if size > _BATCH_BYTES:
        raise LimitExceededError(
            f"{len(wanted)} runs take {size} bytes together, and one call carries {_BATCH_BYTES}; "
            "schedule them in smaller batches, or keep large data elsewhere and pass its place"
        )


_default: tuple[object, Client] | None = None


def _client() -> Client:
    """The client of this process, made anew when what it was made from changes."""
    global _default  # noqa: PLW0603 - its connections are worth keeping
    # Asked without importing asyncio: a program that has not, has no event loop.
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:  # noqa: SLF001 - as asyncio.run itself asks
        raise RunnerError(
            "this would stop the running event loop until the server answers; "
            "use runner.AsyncClient here: await client.scheduleTask(...)"
        )
    from runner.sdk.client import Client  # noqa: PLC0415 - a task never needs it

    made_from = (os.environ.get("ISOLANE_URL"), os.environ.get("ISOLANE_TOKEN"), os.getcwd(), os.getpid())  # noqa: PTH109
    if _default is None or _default[0] != made_from:
        _default = (made_from, Client())
    return _default[1]
