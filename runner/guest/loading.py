"""From the tasks folder to functions. The folder is the package `tasks`; it is not itself on the path.

A task is the function `run` of a module, or any function that `@task` marked. Only what a module defines itself counts,
so that a task imported from another module is not there twice.
"""

from __future__ import annotations

import os.path
import re
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import runner
from runner.domain.names import check_task, task_name
from runner.errors import InvalidOptionError, TasksFolderError
from runner.sdk.decorator import MARK

_OURS = f"{os.path.dirname(runner.__file__)}/"  # noqa: PTH120 - pathlib costs a task two milliseconds


class Found(NamedTuple):
    """A task of a module."""

    name: str
    attribute: str  # under which the module has it
    function: Callable[..., Any]
    options: dict[str, Any]  # as written, without its name


def load_module(module: str) -> ModuleType:
    """Import a module by its dotted path under the tasks folder; raises whatever its code raises."""
    if "tasks" not in sys.modules:
        _make_package()
    __import__(f"tasks.{module}")
    return sys.modules[f"tasks.{module}"]


def load(module: str, attribute: str) -> Callable[..., Any]:
    """A task's function."""
    function = getattr(load_module(module), attribute, None)
    if not callable(function):
        raise TasksFolderError(f"tasks.{module} has no function {attribute} any more")
    return function  # type: ignore[no-any-return] # callable of task code: anything


def find_tasks(module: ModuleType, path: str) -> list[Found]:
    """The tasks of an imported module, in the order in which they stand.

    Raises:
        TasksFolderError: two of them have one name.
        InvalidOptionError: a name that a task may not have.
    """
    found: dict[int, Found] = {}
    for attribute, value in list(vars(module).items()):
        options = getattr(value, MARK, None) if isinstance(value, FunctionType) else None
        is_task = options is not None or (attribute == "run" and isinstance(value, FunctionType))
        # Under a second name, the function keeps its first.
        if is_task and value.__module__ == module.__name__ and id(value) not in found:
            found[id(value)] = _found(path, attribute, value, dict(options or {}))
    names: dict[str, str] = {}
    for task in found.values():
        if task.name in names:
            raise TasksFolderError(f"{names[task.name]} and {task.attribute} are both named {task.name}; rename one")
        names[task.name] = task.attribute
    return list(found.values())


def _found(path: str, attribute: str, function: FunctionType, options: dict[str, Any]) -> Found:
    name = options.pop("name", None)
    try:
        return Found(name or check_task(task_name(path, attribute)), attribute, function, options)
    except InvalidOptionError as error:
        raise InvalidOptionError(f"{error}; give {attribute} a name of its own: @task(name=...)") from None


def code_folder() -> str | None:
    """Where the path has a folder `tasks` first: the code as it is seen inside."""
    # Not pathlib, whose import costs a task two milliseconds.
    return next((entry for entry in sys.path if os.path.isdir(os.path.join(entry, "tasks"))), None)  # noqa: PTH112, PTH118


def shown_path(path: str) -> str:
    """A file's path as the project has it: `tasks/x.py`, or `shoplib/x.py` of a folder that `[code] packages` shows.

    Empty for a file of isolane's own; any other path stays.
    """
    if path.startswith(_OURS):
        return ""
    code = code_folder()
    if code is None or not path.startswith(f"{code}/"):
        return path
    return re.sub("^packages/[0-9]+/", "", path.removeprefix(f"{code}/"))


def _make_package() -> None:
    """Make `tasks` the folder that the path names first, whatever package of that name is installed."""
    code = code_folder()
    if code is None or os.path.isfile(f"{code}/tasks/__init__.py"):  # noqa: PTH113
        return  # importing it does the same, and runs what stands there
    package = ModuleType("tasks")
    package.__path__ = [f"{code}/tasks"]
    sys.modules["tasks"] = package
