"""What a module says of its tasks. It comes from inside the sandbox, and is hostile until read here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.catalog import schema
from runner.domain.checks import known_keys, shown, text, whole
from runner.domain.names import check_task
from runner.domain.options.task_options import read_options
from runner.errors import InvalidError, InvalidValueError

_MOST_BYTES = 1 << 20
_MOST_TASKS = 500
_KEYS = ("name", "module", "function", "arguments", "schema", "description", "options")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskManifest:
    """One task, as its module declares it.

    Attributes:
        arguments: how many its function takes: 0, 1 or 2.
        schema: JSON Schema of its parameters as it came, `None` for any object.
        shape: the same, ready for `schema.check`.
        options: as written, checked.
        document: all of this as it came, to be kept and read again.
    """

    name: str
    function: str
    arguments: int
    schema: Mapping[str, Any] | None
    shape: str | None
    options: Mapping[str, Any]
    document: Mapping[str, Any]


def read_manifest(tasks: object, module: str) -> tuple[TaskManifest, ...]:
    """Check what came from inside.

    Raises:
        InvalidError: (one of its kinds) it is not what a module may say; names the task where it got that far.
    """
    if not isinstance(tasks, list) or len(tasks) > _MOST_TASKS:
        raise InvalidValueError(f"a module declares a list of at most {_MOST_TASKS} tasks: got {shown(tasks)}")
    try:
        size = len(json.dumps(tasks))
    except RecursionError:
        raise InvalidValueError("what a module declares may not be nested that deeply") from None
    if size > _MOST_BYTES:
        raise InvalidValueError(f"what a module declares may have at most {_MOST_BYTES >> 20} MB")
    read = tuple(_read_task(task, module) for task in tasks)
    names = [task.name for task in read]
    for name in names:
        if names.count(name) > 1:
            raise InvalidValueError(f"two tasks of the module are named {name}")
    return read


def _read_task(task: object, module: str) -> TaskManifest:
    if not isinstance(task, Mapping) or any(key not in task for key in _KEYS):
        raise InvalidValueError(f"each task must be declared with {', '.join(_KEYS)}: got {shown(task)}")
    name = check_task(task["name"])
    try:
        known_keys(task, _KEYS, "", "key of a declaration")
        if task["module"] != module:
            raise InvalidValueError(f"its module must be {module}: got {shown(task['module'])}")
        function = text(task["function"], "its function", 200)
        if not function.isidentifier():
            raise InvalidValueError(f"its function must be a name: got {shown(function)}")
        description, options = task["description"], task["options"]
        if not isinstance(options, Mapping):
            raise InvalidValueError(f"its options must be an object: got {shown(options)}")
        options = {**options} if description is None else {"description": description, **options}
        read_options(options)
        return TaskManifest(
            name=name,
            function=function,
            arguments=whole(task["arguments"], "arguments", 0, 2),
            schema=task["schema"],
            shape=None if task["schema"] is None else schema.prepare(task["schema"]),
            options=options,
            document=task,
        )
    except InvalidError as error:
        raise type(error)(f"task {name}: {error}") from None
