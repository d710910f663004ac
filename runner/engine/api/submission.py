"""From a request to schedule (HTTP, a task, the command line: all hostile) to a run that can be stored.

A request is refused whole, at the call, with an error that names the place and the fix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.catalog import Catalog, TaskEntry
from runner.config import Settings
from runner.domain.checks import known_keys, refusal
from runner.domain.options.table import CALL_OPTIONS, read
from runner.domain.retry import Retry
from runner.domain.run import NewRun, Run, RunDetail
from runner.engine.api import stepwise_json
from runner.errors import InvalidError, InvalidOptionError, RunnerError
from runner.uuid7 import uuid7

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KNOWN = ("id", "task", "parameters", *CALL_OPTIONS)


@dataclass(frozen=True, slots=True)
class _Request:
    """One request. An option that is not given is left to the task."""

    id: str
    task: str
    parameters: Any
    options: Mapping[str, Any]  # those that are given, as they are held


class Submission:
    """Checks requests against the catalog and the config."""

    def __init__(self, settings: Settings, catalog: Catalog, now: Callable[[], int]) -> None:
        self._settings, self._catalog, self._now = settings, catalog, now

    def preparing(
        self, app: str, requests: Sequence[object], *, parent: Run | None = None
    ) -> Generator[None, None, list[tuple[NewRun, bool]]]:
        """The runs that the requests ask for, each with whether it waits for its parent's success; in steps.

        `parent` is the run whose task asks, `None` for outside.

        Raises:
            InvalidError: (one of its kinds) names what is wrong; of a batch, also where in it.
        """
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
        given, bounds = request.options, self._settings.bounds
        # That there is to be no queue is bounded as a queue without a name.
        queue = given["queue"] or "" if "queue" in given else None
        if parent is not None:
            bounds.check_scheduling(parent.task, request.task, queue)
        bounds.check_run(request.task, queue, given.get("timeout"))
        entry = self._catalog.find(app, request.task)
        if given.get("with_success") and parent is None:
            raise InvalidOptionError("with_success works inside a task only: it ties a run to its parent's success")
        text = yield from stepwise_json.write(request.parameters, limit_bytes=self._settings.limits.parameters_bytes)
        self._catalog.check_parameters(entry, request.parameters, size_bytes=len(text))
        return self._new_run(app, entry, request, text, parent), given.get("with_success", False)

    def replay(self, old: RunDetail) -> NewRun:
        """The same again: a new run with the old one's task, parameters, queue and tags.

        Raises:
            InvalidOptionError: by now the config does not allow what was asked for then.
        """
        run, now = old.run, self._now()
        self._settings.bounds.check_run(run.task, run.queue, run.timeout_s)
        return NewRun(
            app=run.app,
            id=uuid7(),
            task=run.task,
            parameters=old.parameters,
            created_at=now,
            due_at=now,
            delay_us=0,
            queue=run.queue,
            priority=run.priority,
            tags=run.tags,
            replay_of=run.id,
            root=run.root or run.id,
            retry=run.retry,
            timeout_s=run.timeout_s,
        )

    def _new_run(self, app: str, entry: TaskEntry, request: _Request, parameters: str, parent: Run | None) -> NewRun:
        given, options, now = request.options, entry.options, self._now()
        delay_us = round(given.get("after", 0) * 1e6)
        due_at = given.get("at", now + delay_us)
        expires_s = given.get("expires", options.expires_s)
        return NewRun(
            app=app,
            id=request.id,
            task=entry.name,
            parameters=parameters,
            created_at=now,
            due_at=due_at,
            delay_us=None if "at" in given else delay_us,
            queue=given.get("queue", options.queue),
            priority=given.get("priority", options.priority),
            tags=tuple(dict.fromkeys((*options.tags, *given.get("tags", ())))),
            idempotency_key=given.get("idempotency_key"),
            expires_at=None if expires_s is None else max(due_at, now) + round(expires_s * 1e6),
            parent=None if parent is None else parent.id,
            scheduled_by=None if parent is None else parent.task,
            retry=Retry(**{**options.retry.document(), **given["retry"]}) if "retry" in given else None,
            timeout_s=given.get("timeout"),
        )


def _parse(document: object) -> _Request:
    if not isinstance(document, dict):
        raise InvalidOptionError(f"a request to schedule must be an object: got {type(document).__name__}")
    known_keys(document, _KNOWN, "", "option of a request")
    run, task, parameters = document.get("id", uuid7()), document.get("task"), document.get("parameters")
    if not isinstance(run, str) or not _UUID.fullmatch(run):
        raise refusal("id", "must be a UUID in its lower-case form, made by the caller", run)
    if not isinstance(task, str):
        raise refusal("task", "must be a task's name", task)
    given = {name: document[name] for name in CALL_OPTIONS if document.get(name) is not None}
    return _Request(run, task, {} if parameters is None else parameters, read(given, CALL_OPTIONS))
