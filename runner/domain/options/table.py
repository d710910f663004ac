"""Every option of a task and of a call of `scheduleTask`, one line each. Whoever takes options asks this table.

| who | what it does with an option |
| --- | --- |
| `@task`, `scheduleTask` | check it where it is written, and pass it on as JSON (`as_json`) |
| a manifest, a request to schedule | read it from JSON, which comes from a sandbox or a stranger (`read`) |
| the config | reads it from TOML, and bounds it |
| `runner.domain.options.task_options` | joins what all of them say of a task |

Light: it is imported wherever a task is declared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from runner.domain.checks import known_keys
from runner.domain.options import kinds
from runner.domain.options.kinds import Kind, duration, number, optional, size, text, whole, word
from runner.errors import InvalidOptionError

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from runner.domain.retry import Retry

Scope = Literal["task", "call", "both"]


class Option:
    """One option.

    Attributes:
        name: as it is written.
        kind: how it is read and written.
        scope: whether tasks have it, calls, or both.
        default: of a task, as written. A call that does not say leaves it to its task.
        attribute: what the value that is held is called, its unit included.
    """

    __slots__ = ("attribute", "default", "kind", "name", "scope")

    def __init__(self, name: str, kind: Kind, scope: Scope, default: object = None) -> None:
        self.name, self.kind, self.scope, self.default = name, kind, scope, default
        self.attribute = f"{name}_{kind.unit}" if kind.unit else name


#: An option whose default is `None` may be none: "none" in words.
OPTIONS = (
    Option("description", optional(text(10_000)), "task"),
    Option("queue", optional(kinds.QUEUE, word=""), "both"),
    Option("timeout", optional(duration("10ms"), held=float("inf")), "both", default="5m"),
    Option("memory", size("16MB"), "task", default="512MB"),
    Option("cpus", optional(number(0.01, 1024)), "task"),
    Option("processes", whole(1, 32_768), "task", default=256),
    Option("disk", size("1MB"), "task", default="256MB"),
    Option("network", kinds.NETWORK, "task", default=False),
    Option("secrets", kinds.SECRETS, "task", default=()),
    Option("retry", kinds.RETRY, "both", default={}),
    Option("every", optional(duration("1s")), "task"),
    Option("cron", optional(kinds.CRON), "task"),
    Option("timezone", kinds.TIMEZONE, "task", default="UTC"),
    Option("overlap", word("allow", "skip"), "task", default="skip"),
    Option("catch_up", word("one", "all", "none"), "task", default="one"),
    Option("expires", optional(duration("1ms")), "both"),
    Option("priority", whole(-1_000_000, 1_000_000), "both", default=0),
    Option("tags", kinds.TAGS, "both", default=()),
    Option("at", kinds.INSTANT, "call"),
    Option("after", kinds.DELAY, "call"),
    Option("idempotency_key", kinds.KEY, "call"),
    Option("with_success", kinds.FLAG, "call"),
)
TASK_OPTIONS: Mapping[str, Option] = {option.name: option for option in OPTIONS if option.scope != "call"}
CALL_OPTIONS: Mapping[str, Option] = {option.name: option for option in OPTIONS if option.scope != "task"}
#: Only one of two can be given.
EXCLUSIVE = (("every", "cron"), ("at", "after"))


def read(written: Mapping[str, Any], known: Mapping[str, Option], where: str = "") -> dict[str, Any]:
    """The values that are held of options that were written, by name; `where` is put before each name in errors.

    Raises:
        InvalidOptionError: a wrong type or range, or two options of which there can be one.
    """
    held = {name: known[name].kind.read(value, where + name) for name, value in written.items()}
    for one, other in EXCLUSIVE:
        if held.get(one) is not None and held.get(other) is not None:
            raise InvalidOptionError(f"{where}{one} and {where}{other} exclude each other: give one of them")
    return held


def as_json(written: Mapping[str, Any], known: Mapping[str, Option], kind: str) -> dict[str, Any]:
    """The options that were given (not `None`), checked, as JSON; `kind` names in errors what they are options of.

    Raises:
        InvalidOptionError: an unknown option, or as `read`.
    """
    known_keys(written, known, "", kind)
    held = read({name: value for name, value in written.items() if value is not None}, known)
    return {name: known[name].kind.write(value) for name, value in held.items()}


class TaskKeywords(TypedDict, total=False):
    """What `@task` takes; config may override each of them, but for the name, by the task's name."""

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


class CallKeywords(TypedDict, total=False):
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


class RunRequest(CallKeywords, total=False):
    """One run of `scheduleTasks`."""

    task: str | Callable[..., Any]
    parameters: Any
