"""What looks like a task and is none: it would be passed over in silence, and its author would wait for its runs.

Looked for where a module tells its tasks, not by attempts.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from runner.errors import TasksFolderError
from runner.guest.loading import Found
from runner.sdk.decorator import MARKED


def check_strays(module: ModuleType, found: list[Found]) -> None:
    """Raise `TasksFolderError` for what of an imported module looks like a task and is none of those `found`."""
    whys = [*_run(module), *_marked(module, found)]
    if whys:
        raise TasksFolderError("; ".join(whys))


def _run(module: ModuleType) -> Iterator[str]:
    """Why `run` is no task, where it is something of the module's own that can be called."""
    run = vars(module).get("run")
    if isinstance(run, FunctionType | BuiltinFunctionType) or not callable(run):
        return
    if isinstance(run, type):
        if run.__module__ == module.__name__:
            yield "run is a class, and a task is a function: write `def run(parameters)` that makes one and calls it"
    elif getattr(run, "__module__", None) in (module.__name__, None) or type(run).__module__ in _NOBODYS:
        yield f"run is {_kind(run)}, and a task is a function: write `def run(parameters)` that calls it"


#: Of whose classes anybody makes objects: what `run` is, is then this module's doing.
_NOBODYS = ("functools", "builtins", "types")


def _marked(module: ModuleType, found: list[Found]) -> Iterator[str]:
    """Why functions that `@task` marked are no tasks."""
    tasks = {id(inner) for task in found for inner in _chain(task.function)}
    for function in MARKED:
        if function.__module__ == module.__name__ and id(function) not in tasks:
            line = function.__code__.co_firstlineno
            yield f"{function.__qualname__} (line {line}) is marked by @task, {_why(module, function)}"


def _why(module: ModuleType, function: FunctionType) -> str:
    for name, value in vars(module).items():
        if any(inner is function for inner in _chain(value)):
            return f"but {name} is {_kind(value)} around it, and a task is a function: put @task above what makes it so"
    if "<locals>" in function.__qualname__:
        return "inside a function, where it cannot be found: move it to the top of the file"
    if "." in function.__qualname__:
        return "inside a class, where it cannot be found: move it to the top of the file"
    other = vars(module).get(function.__name__)
    if isinstance(other, FunctionType) and other.__qualname__ == function.__qualname__:
        return f"but line {other.__code__.co_firstlineno} has another {function.__name__}: rename one"
    return (
        "but the module has it under no name: a decorator above @task has put something else in its place; put @task "
        "on top, or use functools.wraps in the decorator"
    )


def _chain(value: Any) -> Iterator[Any]:
    """A value, and what it says it wraps."""
    seen: set[int] = set()
    while value is not None and id(value) not in seen:
        yield value
        seen.add(id(value))
        wrapped = getattr(value, "__wrapped__", None)
        value = value.func if wrapped is None and isinstance(value, functools.partial) else wrapped


def _kind(value: Any) -> str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"an object of {name}"
