"""`@task`: marks a function of a task module as a task, and says how it wants to be run.

The function stays what it was and can be called and tested as such; its options are kept on it, as JSON, for the
manifest that the runner reads. Options are checked here, so that a mistake shows where it was written.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from runner.domain.names import check_queue, check_task
from runner.errors import InvalidOptionError
from runner.sdk import options as check

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Literal, TypedDict, Unpack

    from runner.domain.retry import Retry

    class TaskOptions(TypedDict, total=False):
        """What `@task` takes; config may override each of them by the task's name."""

        name: str  # instead of the file's dotted path and the function's name
        description: str  # instead of the docstring's first line
        queue: str  # its runs go one at a time
        timeout: str | timedelta  # of one attempt, or "none"
        memory: str  # of an attempt with all its processes
        cpus: float  # share of cores
        processes: int  # how many processes and threads at once
        disk: str  # scratch space
        network: bool | list[str] | tuple[str, ...]  # ["host:port"] to reach, or True for the host's own; none without
        secrets: list[str] | tuple[str, ...]  # the names of those that it needs, for context.secrets
        retry: Retry | dict[str, Any]
        every: str | timedelta  # runs by itself, so often
        cron: str  # runs by itself, as crontab(5) says
        timezone: str  # of cron
        overlap: Literal["allow", "skip"]  # whether to run by itself while an earlier run of it is not over
        catch_up: Literal["one", "all", "none"]  # how often it makes up for times at which nobody ran
        expires: str | timedelta  # from the due time to the first start
        priority: int  # higher goes first
        tags: list[str] | tuple[str, ...]


Function = TypeVar("Function", bound=Callable[..., Any])

#: Where a task's options are kept on its function.
MARK = "__isolane__"
#: All functions that were marked in this process: one that its module hides is told from one that was never meant.
MARKED: list[FunctionType] = []


def _cpus(value: float, name: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.01 <= value <= 1024:
        raise InvalidOptionError(f"{name} must be a number from 0.01 to 1024: got {value!r:.80}")
    return value


def _processes(value: int, name: str) -> int:
    if not check.is_whole(value) or not 1 <= value <= 32_768:
        raise InvalidOptionError(f"{name} must be a whole number from 1 to 32768: got {value!r:.80}")
    return value


def _network(value: Any, name: str) -> bool | list[str]:
    if isinstance(value, bool):
        return value
    if not isinstance(value, list | tuple):
        raise InvalidOptionError(
            f'{name} must be True, False or a list such as ["smtp.example.com:587"]: got {value!r:.80}'
        )
    from sandbox import endpoint  # noqa: PLC0415 - most tasks do without

    try:
        return [str(each) for each in endpoint.parse_all(tuple(value))]
    except ValueError as error:
        raise InvalidOptionError(f"{name}{error}") from None


def _cron(value: str, name: str) -> str:
    line = check.text(value, name, 200)
    if len(line.split()) != 5 and not line.startswith("@"):
        raise InvalidOptionError(f'{name} must have five fields, such as "0 7 * * mon-fri": got {value!r:.80}')
    return line


def _overlap(value: str, name: str) -> str:
    if value not in ("allow", "skip"):
        raise InvalidOptionError(f'{name} must be "allow" or "skip": got {value!r:.80}')
    return value


def _catch_up(value: str, name: str) -> str:
    if value not in ("one", "all", "none"):
        raise InvalidOptionError(f'{name} must be "one", "all" or "none": got {value!r:.80}')
    return value


_CHECKS: dict[str, check.Check] = {
    "name": lambda value, _: check_task(value),
    "description": check.text,
    "queue": lambda value, _: check_queue(value),
    "timeout": check.timeout,
    "memory": check.size("16MB"),
    "cpus": _cpus,
    "processes": _processes,
    "disk": check.size("1MB"),
    "network": _network,
    "secrets": check.secrets,
    "retry": check.retry,
    "every": check.duration("1s"),
    "cron": _cron,
    "timezone": check.text,
    "overlap": _overlap,
    "catch_up": _catch_up,
    "expires": check.duration("1ms"),
    "priority": check.priority,
    "tags": check.tags,
}


@overload
def task(function: Function, /) -> Function: ...
@overload
def task(**options: Unpack[TaskOptions]) -> Callable[[Function], Function]: ...
def task(function: Any = None, /, **options: Any) -> Any:
    """Mark a function as a task: `@task`, or `@task(queue="billing", timeout="30s")`.

    Raises:
        InvalidOptionError: an unknown option, or a value of a wrong type or range.
    """
    checked = check.check_options(options, _CHECKS, "@task")
    if "every" in checked and "cron" in checked:
        raise InvalidOptionError("every and cron exclude each other: give one of them")

    def mark(marked: Function) -> Function:
        if not isinstance(marked, FunctionType):
            raise InvalidOptionError(f"@task marks functions; write a `def` that calls this: got {marked!r:.80}")
        setattr(marked, MARK, checked)
        MARKED.append(marked)
        return marked

    return mark if function is None else mark(function)
