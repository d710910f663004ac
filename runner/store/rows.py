"""Rows to records and back, for every database: a row is whatever gives its values by the names of the columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from runner.domain.options.queue_rule import QueueRule
from runner.domain.retry import Retry
from runner.domain.run import (
    Claim,
    Ending,
    Holder,
    LogLine,
    NewRun,
    QueueState,
    Run,
    RunDetail,
    StoredAttempt,
    TaskError,
)
from runner.domain.status import Reason, Status
from runner.store.records import LogPage, NodeInfo, NodeState, ScheduleState
from runner.store.storable_text import check_new, sentence

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")
#: Of how many attempts of a run the errors are kept: its newest.
ERRORS_KEPT = 100


class Row(Protocol):
    """A row of a result, such as `sqlite3.Row` or `asyncpg.Record`."""

    def __getitem__(self, name: str, /) -> Any: ...


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


@dataclass(frozen=True, slots=True)
class Entry:
    """A new run and the values of its row."""

    new: NewRun
    values: dict[str, Any]


def entries_of(runs: Iterable[NewRun]) -> list[Entry]:
    """Of new runs, made before a database is asked for its time.

    Raises:
        InvalidOptionError: one has text that no store could keep.
    """
    runs = list(runs)
    for new in runs:
        check_new(new)
    return [Entry(new, values_of(new)) for new in runs]


def detail_of(row: Row, attempts: Iterable[StoredAttempt]) -> RunDetail:
    """A row of `runs` with what belongs to the run once."""
    return RunDetail(
        run=run_of(row),
        parameters=row["parameters"],
        result=row["result"],
        error=error_of(row["error"]),
        attempts=tuple(attempts),
        progress=row["progress"],
    )


def orphan_of(row: Row) -> Claim:
    """A row of `runs` with its open attempt."""
    return Claim(run=run_of(row), parameters="", attempt=row["number"], token=row["token"], fence=row["fence"])


def attempt_of(row: Row) -> StoredAttempt:
    """A row of `attempts`."""
    return _record(
        StoredAttempt, row, reason=Reason(row["reason"]) if row["reason"] else None, error=error_of(row["error"])
    )


def ending_values(ending: Ending) -> dict[str, Any]:
    """What is kept of the end of an attempt, by the columns of `attempts`."""
    return {
        "finished_at": ending.finished_at,
        "reason": ending.reason.value,
        "why": sentence(ending.why),
        "error": error_text(ending.error),
        "exit_code": ending.exit_code,
        "signal": ending.signal,
        "peak_memory_bytes": ending.peak_memory_bytes,
        "cpu_time_s": ending.cpu_time_s,
        "sandbox": ending.sandbox,
        "code": ending.code,
    }


def error_of(text: str | None) -> TaskError | None:
    """The columns `run_responses.error` and `attempts.error`."""
    return TaskError(**json.loads(text)) if text else None


def error_text(error: TaskError | None) -> str | None:
    """What is kept of an error."""
    return json.dumps(asdict(error)) if error else None


def schedule_of(row: Row) -> ScheduleState:
    """A row of `schedules`."""
    return _record(ScheduleState, row)


def log_page(rows: Iterable[Row], after: int) -> LogPage:
    """Rows of `log_lines`, read after this cursor."""
    lines = tuple(map(_line_of, rows))
    return LogPage(lines=lines, cursor=lines[-1].number if lines else after)


def _line_of(row: Row) -> LogLine:
    text = row["text"]
    return _record(
        LogLine,
        row,
        text=text.decode() if isinstance(text, bytes) else text,
        continuation=bool(row["continuation"]),
    )


def node_of(row: Row) -> NodeState:
    """A row of `nodes` with what was counted beside it."""
    return _record(NodeState, row, info=_record(NodeInfo, row))


def has_rule(row: Row, rule: QueueRule) -> bool:
    """Whether a row of `queues` has all of the rule that is stored."""
    return all(row[column] == value for column, value in rule.columns().items())


def queue_of(row: Row, rule: QueueRule, *, waiting: int, scheduled: int, holders: Iterable[Row]) -> QueueState:
    """A row of `queues` with its rule, what was counted beside it, and rows of `holders` with their runs."""
    return _record(
        QueueState,
        row,
        rule=rule,
        waiting=waiting,
        scheduled=scheduled,
        holders=tuple(
            Holder(run=holder["id"], task=holder["task"], slot=holder["slot"], since=holder["since"])
            for holder in holders
        ),
    )


def _record(kind: type[Record], row: Row, **made: Any) -> Record:
    """A record whose fields have the names of columns, but for those that are `made`."""
    return kind(**{field.name: row[field.name] for field in fields(kind) if field.name not in made}, **made)


def _tags_of(text: str) -> tuple[str, ...]:
    return () if text == "[]" else tuple(json.loads(text))


def _digest(parameters: str) -> bytes:
    """Equal for equal objects, however their keys are ordered."""
    try:
        canonical = json.dumps(json.loads(parameters), sort_keys=True)
    except ValueError:  # a number longer than Python converts
        canonical = parameters
    return hashlib.sha256(canonical.encode()).digest()
