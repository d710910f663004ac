"""From the keywords of `scheduleTask` to the request that goes over the wire, strictly checked at the call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from runner import jsonvalue
from runner.domain.names import check_queue, check_task, task_name
from runner.errors import InvalidError, InvalidOptionError, RunnerError
from runner.sdk import options as check
from runner.sdk.decorator import MARK
from runner.units import instant, rfc3339, seconds
from runner.uuid7 import uuid7

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from typing import TypedDict

    from runner.domain.retry import Retry

    class ScheduleOptions(TypedDict, total=False):
        """What `scheduleTask` takes beside the task and its parameters."""

        at: datetime | str | None  # an aware datetime, or RFC 3339
        after: timedelta | str | float | None  # a number is of milliseconds
        queue: str | None
        priority: int | None
        idempotency_key: str | None
        expires: timedelta | str | None
        tags: Sequence[str]
        retry: Retry | dict[str, Any] | None
        timeout: timedelta | str | None
        with_success: bool

    class RunRequest(ScheduleOptions, total=False):
        """One run of `scheduleTasks`."""

        task: Task
        parameters: Any


Task = str | Callable[..., Any]
Request = dict[str, Any]

#: The server has its own limit and tells it; this one only spares sending what no server takes.
_OUTSIDE_BYTES = 64 << 20
_LONGEST_AFTER_MS = 36500 * 86_400_000


def _after(value: timedelta | str | float, name: str) -> str | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 <= value <= _LONGEST_AFTER_MS:
            raise InvalidOptionError(f"{name} must lie between 0 and {_LONGEST_AFTER_MS} milliseconds: got {value!r}")
        return value
    delay_s = seconds(cast("timedelta | str", value), name)
    return value if isinstance(value, str) else delay_s * 1000


_CHECKS: dict[str, check.Check] = {
    "at": lambda value, name: rfc3339(instant(value, name)),
    "after": _after,
    "queue": lambda value, _: check_queue(value),
    "priority": check.priority,
    "idempotency_key": lambda value, name: check.text(value, name, 500),
    "expires": check.duration("1ms"),
    "tags": check.tags,
    "retry": check.retry,
    "timeout": check.timeout,
    "with_success": check.flag,
}
_KEYS = ("task", "parameters", *_CHECKS)


def request(task: Task, parameters: object, options: Mapping[str, Any], limit_bytes: int) -> Request:
    """One run as the wire carries it, with the id that it will have.

    Raises:
        InvalidError: (one of its kinds) names what is wrong, where, and what to pass instead.
    """
    checked = check.check_options(options, _CHECKS, "scheduleTask")
    if "at" in checked and "after" in checked:
        raise InvalidOptionError("at and after exclude each other: give one of them")
    body: Request = {"id": uuid7(), "task": _name(task)}
    if parameters is not None:
        text = jsonvalue.dumps(_plain(parameters), "parameters", limit_bytes=limit_bytes, must_be_object=True)
        # Through JSON and back: what is sent cannot differ from what was checked.
        body["parameters"] = jsonvalue.loads(text, "parameters")
    # What says no more than its absence is left out; a priority or a delay of 0 says more.
    return body | {name: value for name, value in checked.items() if value != [] and value is not False}


def requests(runs: object, limit_bytes: int) -> list[Request]:
    """Many runs, each a dict of what `scheduleTask` takes; an error names which of them."""
    if not isinstance(runs, list | tuple):
        raise InvalidOptionError(f"scheduleTasks takes a list of dicts: got a {type(runs).__name__}")
    return [_one_of(run, index, limit_bytes) for index, run in enumerate(runs)]


def outside_request(task: Task, parameters: object, options: Mapping[str, Any]) -> Request:
    """As `request`, from outside of a task: the server knows the limits, and there is no parent to succeed."""
    wanted = request(task, parameters, options, _OUTSIDE_BYTES)
    if "with_success" in wanted:
        raise InvalidOptionError("with_success works inside a task only: it ties a run to its parent's success")
    return wanted


def outside_requests(runs: object) -> list[Request]:
    """As `requests`, from outside of a task."""
    wanted = requests(runs, _OUTSIDE_BYTES)
    if any("with_success" in one for one in wanted):
        raise InvalidOptionError("with_success works inside a task only: it ties a run to its parent's success")
    return wanted


def _one_of(run: object, index: int, limit_bytes: int) -> Request:
    try:
        if not isinstance(run, dict) or "task" not in run:
            raise InvalidOptionError('must be a dict with a "task", such as {"task": "greet", "parameters": {}}')
        for name in run:
            if name not in _KEYS:
                raise InvalidOptionError(check.unknown_option(name, _KEYS, "a run"))
        options = {name: value for name, value in run.items() if name in _CHECKS}
        return request(run["task"], run.get("parameters"), options, limit_bytes)
    except InvalidError as error:
        raise RunnerError.rebuild(error.code, f"runs[{index}]: {error}") from None


def _name(task: Task) -> str:
    if isinstance(task, str):
        return check_task(task)
    name: str | None = getattr(task, MARK, {}).get("name")
    folder, _, module = getattr(task, "__module__", "").partition(".")
    if name is None and folder == "tasks" and module:
        name = task_name(module, task.__name__)
    if name is None:
        raise InvalidOptionError(f"task must be a task's name, or a function of the tasks folder: got {task!r:.80}")
    return name


def _plain(parameters: object) -> object:
    """A dataclass as the dict of its fields, anything else as it is."""
    if hasattr(type(parameters), "__dataclass_fields__"):
        return sys.modules["dataclasses"].asdict(parameters)
    return parameters
