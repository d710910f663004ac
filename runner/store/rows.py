"""Rows to records and back, for every database: a row is whatever gives its values by the names of the columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Protocol

from runner.domain.options.queue_rule import QueueRule
from runner.domain.retry import Retry
from runner.domain.run import Attempt, LogLine, NewRun, QueueState, Run, TaskError
from runner.domain.status import Reason, Status
from runner.store.records import ScheduleState

#: Of how many attempts of a run the errors are kept: its newest.
ERRORS_KEPT = 100


class Row(Protocol):
    """A row of a result, such as `sqlite3.Row` or `asyncpg.Record`."""

    def __getitem__(self, name: str, /) -> Any: ...

    def keys(self) -> Iterable[str]:
        """The names of its columns."""
        ...


def run_of(row: Row) -> Run:
    """A row of `runs`."""
    return Run(
        app=row["app"],
        id=row["id"],
        task=row["task"],
        queue=row["queue"] or None,
        status=Status(row["status"]),
        reason=Reason(row["reason"]) if row["reason"] else None,
        why=row["why"],
        priority=row["priority"],
        tags=_tags_of(row["tags"]),
        idempotency_key=row["idempotency_key"],
        parent=row["parent"],
        scheduled_by=row["scheduled_by"] or None,
        replay_of=row["replay_of"],
        root=row["root"],
        schedule=row["schedule"],
        retry=Retry(**json.loads(row["retry"])) if row["retry"] else None,
        timeout_s=row["timeout_s"],
        attempt_count=row["attempt_count"],
        failures=row["failures"],
        losses=row["losses"],
        created_at=row["created_at"],
        due_at=row["due_at"] if row["first_due_at"] is None else row["first_due_at"],
        next_attempt_at=row["due_at"] if row["first_due_at"] is not None and row["ready"] is not None else None,
        expires_at=row["expires_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        cancel_requested_at=row["cancel_requested_at"],
    )


def values_of(new: NewRun) -> dict[str, Any]:
    """The values of a new run's row."""
    is_due = new.due_at <= new.created_at
    return {
        "app": new.app,
        "id": new.id,
        "task": new.task,
        "queue": new.queue or "",
        "status": Status.QUEUED.value if is_due else Status.SCHEDULED.value,
        "ready": int(is_due),
        "priority": new.priority,
        "tags": json.dumps(new.tags) if new.tags else "[]",
        "idempotency_key": new.idempotency_key,
        "parameters_digest": _digest(new.parameters) if new.idempotency_key is not None else None,
        "parent": new.parent,
        "scheduled_by": new.scheduled_by or "",
        "replay_of": new.replay_of,
        "root": new.root,
        "schedule": new.schedule,
        "retry": json.dumps(new.retry.document()) if new.retry else None,
        "timeout_s": new.timeout_s,
        "created_at": new.created_at,
        "due_at": new.due_at,
        "delay_us": new.delay_us,
        "expires_at": new.expires_at,
    }


def attempt_of(row: Row) -> Attempt:
    """A row of `attempts`."""
    return Attempt(
        number=row["number"],
        node=row["node"],
        fence=row["fence"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        reason=Reason(row["reason"]) if row["reason"] else None,
        why=row["why"],
        error=error_of(row["error"]),
        exit_code=row["exit_code"],
        signal=row["signal"],
        peak_memory_bytes=row["peak_memory_bytes"],
        cpu_time_s=row["cpu_time_s"],
        sandbox=row["sandbox"],
        code=row["code"],
    )


def error_of(text: str | None) -> TaskError | None:
    """The columns `run_responses.error` and `attempts.error`."""
    return TaskError(**json.loads(text)) if text else None


def error_text(error: TaskError | None) -> str | None:
    """What is kept of an error."""
    return json.dumps(asdict(error)) if error else None


def schedule_of(row: Row) -> ScheduleState:
    """A row of `schedules`."""
    return ScheduleState(**{name: row[name] for name in row.keys()})  # noqa: SIM118 - rows iterate over values


def line_of(row: Row) -> LogLine:
    """A row of `log_lines`."""
    return LogLine(
        attempt=row["attempt"],
        at=row["at"],
        stream=row["stream"],
        text=row["text"],
        level=row["level"],
        continuation=bool(row["continuation"]),
        number=row["number"],
    )


def has_rule(row: Row, rule: QueueRule) -> bool:
    """Whether a row of `queues` has all of the rule that is stored."""
    return all(row[column] == value for column, value in rule.columns().items())


def queue_of(row: Row, rule: QueueRule, **rest: Any) -> QueueState:
    """A row of `queues` with its rule, and with what was counted beside it."""
    return QueueState(
        app=row["app"],
        name=row["name"],
        rule=rule,
        paused_at=row["paused_at"],
        opens_at=row["opens_at"],
        **rest,
    )


def _tags_of(text: str) -> tuple[str, ...]:
    return () if text == "[]" else tuple(json.loads(text))


def _digest(parameters: str) -> bytes:
    """Equal for equal objects, however their keys are ordered."""
    try:
        canonical = json.dumps(json.loads(parameters), sort_keys=True)
    except ValueError:  # a number longer than Python converts
        canonical = parameters
    return hashlib.sha256(canonical.encode()).digest()
