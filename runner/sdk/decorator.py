"""`@task`: marks a function of a task module as a task, and says how it wants to be run.

The function stays what it was and can be called and tested as such; its options are kept on it, as JSON, for the
manifest that the runner reads. Options are checked here, so that a mistake shows where it was written.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from runner.domain.options import kinds
from runner.domain.options.table import TASK_OPTIONS, Option, as_json
from runner.errors import InvalidOptionError

if TYPE_CHECKING:
    from typing import Unpack

    from runner.domain.options.table import TaskKeywords

Function = TypeVar("Function", bound=Callable[..., Any])

#: Where a task's options are kept on its function.
MARK = "__isolane__"
#: All functions that were marked in this process: one that its module hides is told from one that was never meant.
MARKED: list[FunctionType] = []


#: What can be said here: the options of a task, and what it is called.
KNOWN = {"name": Option("name", kinds.TASK, "task"), **TASK_OPTIONS}


@overload
def task(function: Function, /) -> Function: ...
@overload
def task(**options: Unpack[TaskKeywords]) -> Callable[[Function], Function]: ...
def task(function: Any = None, /, **options: Any) -> Any:
    """Mark a function as a task: `@task`, or `@task(queue="billing", timeout="30s")`.

    Raises:
        InvalidOptionError: an unknown option, or a value of a wrong type or range.
    """
    checked = as_json(options, KNOWN, "option of @task")

    def mark(marked: Function) -> Function:
        if not isinstance(marked, FunctionType):
            raise InvalidOptionError(f"@task marks functions; write a `def` that calls this: got {marked!r:.80}")
        setattr(marked, MARK, checked)
        MARKED.append(marked)
        return marked

    return mark if function is None else mark(function)
