"""From a request to schedule (HTTP, a task, the command line: all hostile) to a run that can be stored.

A request is refused whole, at the call, with an error that names the place and the fix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from runner.catalog import Catalog, TaskEntry
from runner.config import Settings
from runner.domain.checks import shown
from runner.domain.names import check_queue, check_tag
from runner.domain.retry import Retry
from runner.domain.run import NewRun, Run
from runner.engine.api import stepwise_json
from runner.errors import InvalidError, InvalidOptionError, RunnerError
from runner.units import instant, seconds
from runner.uuid7 import uuid7

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KEY_CHARS = 500
_PRIORITY = 1_000_000
_MAX_TAGS = 50


def _identifier(value: object) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise InvalidOptionError(f"id must be a UUID in its lower-case form, made by the caller: got {shown(value)}")
    return value


def _timeout(value: object) -> float:
    return float("inf") if value == "none" else _positive(seconds(cast("str", value), "timeout"), "timeout")


def _positive(value: float, name: str) -> float:
    if value <= 0:
        raise InvalidOptionError(f"{name} must be longer than nothing")
    return value


def _after(value: object) -> float:
    """Seconds from a duration, or from a number of milliseconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        delay_s = value / 1000 if abs(value) < 1e15 else float("inf")  # a whole number can be too large for a float
    else:
        delay_s = seconds(cast("str", value), "after")
    if not 0 <= delay_s < 1e10:
        raise InvalidOptionError(f"after must lie between 0 and 300 years: got {shown(value)}")
    return delay_s


def _tags(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _MAX_TAGS:
        raise InvalidOptionError(f"tags must be a list of at most {_MAX_TAGS} texts: got {shown(value)}")
    return tuple(check_tag(tag) for tag in value)


class _Request(BaseModel):
    """One request; an absent key means the task's own default."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, BeforeValidator(_identifier)] = Field(default_factory=uuid7)
    task: str
    parameters: Any = None
    at: Annotated[int, BeforeValidator(lambda value: instant(value, "at"))] | None = None
    after: Annotated[float, BeforeValidator(_after)] | None = None
    queue: Annotated[str, BeforeValidator(check_queue)] | None = None
    priority: int | None = None
    idempotency_key: str | None = None
    expires: Annotated[float, BeforeValidator(lambda value: seconds(value, "expires"))] | None = None
    tags: Annotated[tuple[str, ...], BeforeValidator(_tags)] = ()
    retry: dict[str, Any] | None = None
    timeout: Annotated[float, BeforeValidator(_timeout)] | None = None
    with_success: bool = False


class Submission:
    """Checks requests against the catalog and the config."""

    def __init__(self, settings: Settings, catalog: Catalog, now: Callable[[], int]) -> None:
        self._settings, self._catalog, self._now = settings, catalog, now

    def prepare(self, app: str, requests: Sequence[object], *, parent: Run | None = None) -> list[tuple[NewRun, bool]]:
        """The runs that the requests ask for, each with whether it waits for its parent's success.

        `parent` is the run whose task asks, `None` for outside.

        Raises:
            InvalidError: (one of its kinds) names what is wrong; of a batch, also where in it.
        """
        steps = self.preparing(app, requests, parent=parent)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                prepared: list[tuple[NewRun, bool]] = end.value
                return prepared

    def preparing(
        self, app: str, requests: Sequence[object], *, parent: Run | None = None
    ) -> Generator[None, None, list[tuple[NewRun, bool]]]:
        """The same in steps, of a request each at most."""
        prepared = []
        for index, request in enumerate(requests):
            try:
                prepared.append((yield from self._prepare(app, request, parent)))
            except InvalidError as error:
                if len(requests) == 1:
                    raise
                raise RunnerError.rebuild(error.code, f"runs[{index}]: {error}") from None
            yield
        return prepared

    def _prepare(self, app: str, document: object, parent: Run | None) -> Generator[None, None, tuple[NewRun, bool]]:
        request = _parse(document)
        if parent is not None:
            self._settings.bounds.check_scheduling(parent.task, request.task, request.queue)
        self._settings.bounds.check_run(request.task, request.queue, request.timeout)
        entry = self._catalog.find(app, request.task)
        if request.with_success and parent is None:
            raise InvalidOptionError("with_success works inside a task only: it ties a run to its parent's success")
        parameters = {} if request.parameters is None else request.parameters
        text = yield from stepwise_json.write(parameters, limit_bytes=self._settings.limits.parameters_bytes)
        self._catalog.check_parameters(entry, parameters, size_bytes=len(text))
        return self._new_run(app, entry, request, text, parent), request.with_success

    def _new_run(self, app: str, entry: TaskEntry, request: _Request, parameters: str, parent: Run | None) -> NewRun:
        options, now = entry.options, self._now()
        delay_us = round((request.after or 0) * 1e6)
        due_at = now + delay_us if request.at is None else request.at
        expires_s = options.expires_s if request.expires is None else request.expires
        return NewRun(
            app=app,
            id=request.id,
            task=entry.name,
            parameters=parameters,
            created_at=now,
            due_at=due_at,
            delay_us=delay_us if request.at is None else None,
            queue=options.queue if request.queue is None else request.queue,
            priority=options.priority if request.priority is None else request.priority,
            tags=tuple(dict.fromkeys((*options.tags, *request.tags))),
            idempotency_key=request.idempotency_key,
            expires_at=None if expires_s is None else max(due_at, now) + round(expires_s * 1e6),
            parent=None if parent is None else parent.id,
            scheduled_by=None if parent is None else parent.task,
            retry=None if request.retry is None else _merge(options.retry, request.retry),
            timeout_s=request.timeout,
        )


def _parse(document: object) -> _Request:
    if not isinstance(document, dict):
        raise InvalidOptionError(f"a request to schedule must be an object: got {type(document).__name__}")
    try:
        request = _Request.model_validate(document)
    except ValidationError as error:
        raise InvalidOptionError(_explain(error)) from None
    if request.at is not None and request.after is not None:
        raise InvalidOptionError("at and after exclude each other: give one of them")
    if request.priority is not None and abs(request.priority) > _PRIORITY:
        raise InvalidOptionError(f"priority must lie between -{_PRIORITY} and {_PRIORITY}: got {request.priority}")
    key = request.idempotency_key
    if key is not None and not 0 < len(key) <= _KEY_CHARS:
        raise InvalidOptionError(f"idempotency_key must have 1 to {_KEY_CHARS} characters: got {len(key)}")
    if key is not None and "\0" in key:
        raise InvalidOptionError("idempotency_key must not hold U+0000, which not every store can keep")
    return request


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "request"
    if first["type"] == "extra_forbidden":
        return f"unknown option {place:.200}; known are {', '.join(_Request.model_fields)}"
    if first["type"] == "value_error":  # raised by one of the functions above, which name the place themselves
        return str(first["ctx"]["error"])
    if first["type"] == "missing":
        return f"{place} is missing"
    return f"{place}: {first['msg']}, got {shown(first['input'])}"


def _merge(policy: Retry, override: dict[str, Any]) -> Retry:
    known = policy.document()
    unknown = [name for name in override if name not in known]
    if unknown:
        raise InvalidOptionError(f"unknown option retry.{unknown[0]:.80}; known are {', '.join(known)}")
    return Retry(**{**known, **override})
