"""The records that the store keeps and the engine works on: runs, attempts, claims. Frozen, pure.

All instants are whole microseconds since 1970 in UTC; `runner.units.rfc3339` writes them for people.
Parameters and results stay JSON text from the moment they were validated until somebody asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.domain.options.queue_rule import QueueRule
from runner.domain.retry import Retry
from runner.domain.status import Reason, Status
from sandbox import Error

#: What a task raised.
TaskError = Error


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run that was validated and is about to be stored."""

    app: str
    id: str  # UUIDv7, made by the caller's side
    task: str
    parameters: str  # JSON text of an object
    created_at: int
    due_at: int  # not before this instant
    delay_us: int | None = None  # how long it waits from now on, 0 for not at all; `None` where an instant was named
    queue: str | None = None
    priority: int = 0  # higher goes first
    tags: tuple[str, ...] = ()
    idempotency_key: str | None = None
    expires_at: int | None = None  # when it must have been started
    parent: str | None = None  # the run that scheduled it
    scheduled_by: str | None = None  # the task of that run
    replay_of: str | None = None  # the run it repeats
    root: str | None = None  # the first run of its chain of repeats, where that is not itself
    schedule: str | None = None  # the schedule that fired it
    retry: Retry | None = None  # overrides the task's policy
    timeout_s: float | None = None  # overrides the task's; `float("inf")` for none

    def stored(self) -> Run:
        """The run as it is once it is stored: `scheduled` until it is due, or `queued` at once."""
        return Run(
            app=self.app,
            id=self.id,
            task=self.task,
            queue=self.queue,
            status=Status.QUEUED if self.due_at <= self.created_at else Status.SCHEDULED,
            reason=None,
            why=None,
            priority=self.priority,
            tags=self.tags,
            idempotency_key=self.idempotency_key,
            parent=self.parent,
            scheduled_by=self.scheduled_by,
            replay_of=self.replay_of,
            root=self.root,
            schedule=self.schedule,
            retry=self.retry,
            timeout_s=self.timeout_s,
            attempt_count=0,
            failures=0,
            losses=0,
            created_at=self.created_at,
            due_at=self.due_at,
            next_attempt_at=None,
            expires_at=self.expires_at,
            started_at=None,
            finished_at=None,
            cancel_requested_at=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A stored run, without its parameters and its result (`RunDetail` has them)."""

    app: str
    id: str
    task: str
    queue: str | None
    status: Status
    reason: Reason | None  # of its last ended attempt
    why: str | None  # why it ended or was put back, in one sentence
    priority: int
    tags: tuple[str, ...]
    idempotency_key: str | None
    parent: str | None
    scheduled_by: str | None  # the task whose run scheduled it, `None` for outside
    replay_of: str | None
    root: str | None  # the first run of its chain of repeats, where that is not itself
    schedule: str | None
    retry: Retry | None
    timeout_s: float | None
    attempt_count: int
    failures: int  # attempts that used up the budget
    losses: int  # attempts lost with their node
    created_at: int
    due_at: int  # when it was first due
    next_attempt_at: int | None  # when its next attempt is due, while it waits for one after the first
    expires_at: int | None
    started_at: int | None  # of the first attempt
    finished_at: int | None
    cancel_requested_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAttempt:
    """One execution of a run."""

    number: int  # from 1
    node: str
    fence: int
    started_at: int
    finished_at: int | None = None
    reason: Reason | None = None
    why: str | None = None
    error: TaskError | None = None  # with `Reason.ERROR`, of the newest attempts
    exit_code: int | None = None
    signal: int | None = None
    peak_memory_bytes: int | None = None
    cpu_time_s: float | None = None
    sandbox: str | None = None  # level and walls, as text
    code: str | None = None  # hash of the snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetail:
    """A run with everything that belongs to it."""

    run: Run
    parameters: str  # JSON text
    result: str | None  # JSON text; `None` where there is none (a task's own null is the text "null")
    error: TaskError | None
    attempts: tuple[StoredAttempt, ...]
    progress: str | None = None  # JSON text of {"fraction", "text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to execute one attempt. Every write of the attempt carries its token."""

    run: Run
    parameters: str
    attempt: int
    token: str  # random; a stale one changes nothing
    fence: int  # grows with every claim of the store


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended: what the store records of it."""

    reason: Reason
    why: str  # one true sentence
    finished_at: int
    result: str | None = None  # JSON text, with `Reason.SUCCESS`
    error: TaskError | None = None  # with `Reason.ERROR`
    exit_code: int | None = None
    signal: int | None = None
    peak_memory_bytes: int | None = None
    cpu_time_s: float | None = None
    sandbox: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a run after an attempt: see `runner.domain.lifecycle.decide`."""

    status: Status
    failures: int
    losses: int
    due_at: int | None = None  # of the next attempt, where there is one


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that an attempt wrote."""

    attempt: int
    at: int
    stream: str  # "stdout", "stderr" or "logging", "system" for isolane's own marks
    text: str
    level: str | None = None  # of a logging record
    continuation: bool = False  # of the stream's line before: no new line begins here
    number: int = 0  # its place in the run's log, set by the store: the cursor of a follower


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """A queue as the store sees it."""

    app: str
    name: str
    rule: QueueRule
    waiting: int  # runs that are due and wait
    scheduled: int  # runs that are not due yet, retries included
    paused_at: int | None
    opens_at: int | None  # where the rate keeps it shut
    holders: tuple[Holder, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a slot of a queue."""

    run: str
    task: str
    slot: int
    since: int
