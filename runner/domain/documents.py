"""A run as the JSON document that HTTP, `--json`, `show` and handles all give. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from runner.domain.run import LogLine, QueueState, RunDetail, StoredAttempt, TaskError
from runner.units import rfc3339

Document = dict[str, Any]


def run_document(detail: RunDetail, why: str | None, value: Callable[[str], Any] = json.loads) -> Document:
    """The whole run; `why` says why it waits or why it ended, `value` makes something of the JSON that it holds."""
    run, error = detail.run, detail.error
    return {
        "id": run.id,
        "app": run.app,
        "task": run.task,
        "queue": run.queue,
        "status": run.status.value,
        "reason": run.reason and run.reason.value,
        "parameters": value(detail.parameters),
        "result": None if detail.result is None else value(detail.result),
        "error": _error(error),
        "why": why,
        "attempt_count": run.attempt_count,
        "attempts": [_attempt(attempt) for attempt in detail.attempts],
        "parent": run.parent,
        "replay_of": run.replay_of,
        "root": run.root or run.id,
        "schedule": run.schedule,
        "tags": list(run.tags),
        "priority": run.priority,
        "idempotency_key": run.idempotency_key,
        "progress": None if detail.progress is None else json.loads(detail.progress),
        "created_at": rfc3339(run.created_at),
        "due_at": rfc3339(run.due_at),
        "next_attempt_at": _time(run.next_attempt_at),
        "expires_at": _time(run.expires_at),
        "started_at": _time(run.started_at),
        "finished_at": _time(run.finished_at),
        "cancel_requested_at": _time(run.cancel_requested_at),
    }


def _error(error: TaskError | None) -> Document | None:
    return None if error is None else {"type": error.type, "message": error.message, "traceback": error.traceback}


def _attempt(attempt: StoredAttempt) -> Document:
    return {
        "number": attempt.number,
        "reason": attempt.reason and attempt.reason.value,
        "why": attempt.why,
        "error": _error(attempt.error),
        "started_at": rfc3339(attempt.started_at),
        "finished_at": _time(attempt.finished_at),
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "peak_memory_bytes": attempt.peak_memory_bytes,
        "cpu_time_s": attempt.cpu_time_s,
        "sandbox": attempt.sandbox,
        "code": attempt.code,
        "node": attempt.node,
        "fence": attempt.fence,
    }


def queue_document(queue: QueueState) -> Document:
    """A queue with who holds it."""
    return {
        "app": queue.app,
        "name": queue.name,
        **queue.rule.document(),
        "waiting": queue.waiting,
        "scheduled": queue.scheduled,
        "paused_at": _time(queue.paused_at),
        "opens_at": _time(queue.opens_at),
        "holders": [
            {"run": holder.run, "task": holder.task, "slot": holder.slot, "since": rfc3339(holder.since)}
            for holder in queue.holders
        ],
    }


def log_document(line: LogLine) -> Document:
    """One line of a run's log; `number` is the cursor to go on from.

    With `continuation`, its text belongs to the line of the same stream before it, which was long or slow to end.
    """
    return {
        "number": line.number,
        "attempt": line.attempt,
        "at": rfc3339(line.at),
        "stream": line.stream,
        "level": line.level,
        "text": line.text,
        "continuation": line.continuation,
    }


def _time(instant: int | None) -> str | None:
    return None if instant is None else rfc3339(instant)
