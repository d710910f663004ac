"""From the keywords of `scheduleTask` to the request that goes over the wire, strictly checked at the call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from runner import jsonvalue
from runner.domain.checks import known_keys
from runner.domain.names import check_task, task_name
from runner.domain.options.table import CALL_OPTIONS, as_json
from runner.errors import InvalidError, InvalidOptionError, RunnerError
from runner.sdk.decorator import MARK
from runner.uuid7 import uuid7

Task = str | Callable[..., Any]
Request = dict[str, Any]

#: The server has its own limit and tells it; this one only spares sending what no server takes.
_OUTSIDE_BYTES = 64 << 20
_KNOWN = ("task", "parameters", *CALL_OPTIONS)


def request(task: Task, parameters: object, options: Mapping[str, Any], limit_bytes: int) -> Request:
    """One run as the wire carries it, with the id that it will have.

    Raises:
        InvalidError: (one of its kinds) names what is wrong, where, and what to pass instead.
    """
    checked = as_json(options, CALL_OPTIONS, "option of scheduleTask")
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
        known_keys(map(str, run), _KNOWN, "", "key of a run")
        options = {name: value for name, value in run.items() if name in CALL_OPTIONS}
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
