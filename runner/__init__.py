"""isolane: what task files and programs import.

Names are resolved when they are first used (PEP 562), so that importing this package costs a task nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.domain.retry import Retry
    from runner.errors import (
        ConflictError,
        DeadlockError,
        InvalidError,
        InvalidOptionError,
        InvalidValueError,
        LimitExceededError,
        NotFoundError,
        RunFailedError,
        RunnerError,
        ShapeError,
        TransportError,
        UnauthorizedError,
        UnknownTaskError,
        WaitTimeoutError,
    )
    from runner.sdk.async_client import AsyncClient
    from runner.sdk.client import Client
    from runner.sdk.context import Context
    from runner.sdk.decorator import task
    from runner.sdk.handle import AsyncHandle, Handle
    from runner.sdk.schedule import (
        get_run,
        getRun,
        schedule_task,
        schedule_tasks,
        scheduleTask,
        scheduleTasks,
    )

__all__ = [
    "AsyncClient",
    "AsyncHandle",
    "Client",
    "ConflictError",
    "Context",
    "DeadlockError",
    "Handle",
    "InvalidError",
    "InvalidOptionError",
    "InvalidValueError",
    "LimitExceededError",
    "NotFoundError",
    "Retry",
    "RunFailedError",
    "RunnerError",
    "ShapeError",
    "TransportError",
    "UnauthorizedError",
    "UnknownTaskError",
    "WaitTimeoutError",
    "getRun",
    "get_run",
    "scheduleTask",
    "scheduleTasks",
    "schedule_task",
    "schedule_tasks",
    "task",
]

_HOMES = {
    "AsyncClient": "runner.sdk.async_client",
    "AsyncHandle": "runner.sdk.handle",
    "Client": "runner.sdk.client",
    "Context": "runner.sdk.context",
    "Handle": "runner.sdk.handle",
    "Retry": "runner.domain.retry",
    "getRun": "runner.sdk.schedule",
    "get_run": "runner.sdk.schedule",
    "scheduleTask": "runner.sdk.schedule",
    "scheduleTasks": "runner.sdk.schedule",
    "schedule_task": "runner.sdk.schedule",
    "schedule_tasks": "runner.sdk.schedule",
    "task": "runner.sdk.decorator",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = __import__(_HOMES.get(name, "runner.errors"), fromlist=[name])
    value: object = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
