"""What every store promises. `runner.store.sqlite` is the embedded one; all pass the suite in `tests/store/`.

A store holds the runs of all apps and hands out the right to execute them. Its rules:

* When a method that writes returns, what it wrote survives a power cut. Many callers' writes may share one commit.
* A method that raises has written nothing.
* One at a time is the database's own constraint: a claim in a queue inserts a row under a unique key (app, queue,
  slot).
* Every write of an attempt names its claim token; after the claim has ended it changes nothing (`StaleClaimError`).
* Claiming costs the same however many runs wait, and however many of them are blocked: the store keeps, per queue and
  task, whether there is something to claim, and never looks at blocked runs one by one.
* Between queues (and tasks, for runs without a queue) turns are taken round; within one, priority goes first, then age.
* Instants come from the caller (`now`), in microseconds since 1970, UTC.
* Logs do not share the commits of claims.
"""

from __future__ import annotations

import abc
import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from runner.domain.run import (
    Claim,
    Ending,
    LogLine,
    NewRun,
    QueueState,
    Run,
    RunDetail,
    Verdict,
)
from runner.domain.status import Status

Item = TypeVar("Item")


class TaskKey(NamedTuple):
    """A task of an app."""

    app: str
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRule:
    """How a queue behaves, as the config says for its name."""

    concurrency: int = 1
    strict: bool = False  # a retrying run holds its place; only at concurrency 1
    interval_us: int = 0  # the shortest time between two starts, from `rate`
    rate: str | None = None  # as written in the config


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """How much may wait; above it new runs are refused."""

    waiting_per_app: int = 2_000_000
    waiting_per_queue: int = 100_000  # and per task, for runs without a queue
    children_per_run: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a node has free, and what it can run."""

    slots: int
    memory_bytes: int  # free now
    memory_total_bytes: int  # a task that needs more never runs here
    needs: Mapping[TaskKey, int]  # the tasks this node has, and the memory limit of each


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What one call of `Store.claim` gave."""

    claims: tuple[Claim, ...]
    #: When there will be something to do without anybody telling: a due time, an expiry, a rate's next turn.
    wake_at: int | None
    #: The task that waits for more memory than is free; room is kept for it as it appears.
    reserved_for: TaskKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs to list; `None` means any."""

    app: str
    statuses: frozenset[Status] | None = None
    task: str | None = None
    queue: str | None = None
    tag: str | None = None
    parent: str | None = None
    schedule: str | None = None
    cursor: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Item]):
    """One page of a list."""

    items: tuple[Item, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Lines of a run's log; `cursor` is where the next call goes on."""

    lines: tuple[LogLine, ...]
    cursor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A schedule that came due: the run it makes, and when it fires next."""

    app: str
    name: str
    due_at: int
    next_at: int | None
    run: NewRun | None  # `None` where this firing is skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleState:
    """A schedule as the store keeps it."""

    app: str
    name: str
    task: str
    rule: str  # as written: "every 10m" or "cron 0 7 * * 1-5 Europe/Oslo"
    next_at: int | None
    last_at: int | None = None
    last_run: str | None = None
    paused_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened in the store, told after its commit."""

    ready: bool = False  # there may be something to claim
    ended: tuple[Run, ...] = field(default=())  # runs that reached a final status
    cancelling: tuple[Run, ...] = field(default=())  # running runs whose cancellation was asked for
    logged: tuple[str, ...] = field(default=())  # ids of runs whose log grew


class Store(abc.ABC):
    """The durable state of isolane. Every method is safe to call from concurrent asyncio tasks of one loop."""

    # --- life ---------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def open(self) -> None:
        """Open it, take the lock and bring the schema up to date.

        Raises:
            StoreUnavailableError: the path cannot be written, or it is no database of ours; names the path.
            StoreLockedError: another runner has it open.
            StoreVersionError: written by a newer isolane.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Finish what was accepted, give back every resource. Closing twice is fine."""

    @abc.abstractmethod
    def listen(self, callback: Callable[[Notice], None]) -> Callable[[], None]:
        """Call `callback` on the event loop after each commit that matters; returns what ends it.

        What a claim itself hands out is not told as `ready`.
        """

    # --- scheduling ---------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def enqueue(self, runs: Sequence[NewRun]) -> list[Run]:
        """Store the runs, all or none, and return them in order.

        A run whose id is stored already is returned as it stands (a repeated call after a lost reply); so is the
        earlier run of the same app, task and idempotency key.

        Raises:
            ConflictError: the idempotency key was used with other parameters.
            LimitExceededError: too many runs wait in the app or the queue, or the parent has too many children.
            StoreFullError: no room on the disk.
        """

    @abc.abstractmethod
    async def claim(self, node: str, room: Room, now: int) -> Claims:
        """Hand out runs to execute, within `room`; each becomes `running` with a new attempt.

        Also does what `now` makes due: scheduled runs become queued, runs past their expiry expire, queues that their
        rate kept shut open. For a task whose turn it is and that does not fit in the free memory, what is free is kept
        (`Claims.reserved_for`, one task at a time), so that it is not passed for ever; but only for times that
        alternate with times when others may have it, so that they are not stopped for ever either.
        """

    @abc.abstractmethod
    async def finish(self, claim: Claim, ending: Ending, verdict: Verdict, children: Sequence[NewRun] = ()) -> Run:
        """Record how an attempt ended and what follows; `children` (effects of a success) appear in the same commit.

        A run whose cancellation was asked for gets no next attempt: it is `cancelled` where the verdict would give one.

        Raises:
            StaleClaimError: the claim has ended; nothing was changed.
            LimitExceededError: there is no room for the children.
        """

    @abc.abstractmethod
    async def orphans(self, node: str | None = None) -> list[Claim]:
        """Claims whose attempts have not ended, of one node or of all: what a crash left. Parameters are left empty."""

    @abc.abstractmethod
    async def progress(self, claim: Claim, progress: str) -> None:
        """Keep what a live attempt says of its progress, JSON text; a stale claim does nothing and raises nothing."""

    # --- operating ----------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def cancel(self, app: str, run: str, now: int) -> Run:
        """Cancel a run and return it.

        One that waits is `cancelled` at once, a running one gets `cancel_requested_at`, a final one stays as it is.

        Raises:
            NotFoundError: no such run in this app.
        """

    @abc.abstractmethod
    async def delete(self, app: str, run: str) -> None:
        """Delete a run that is not running, with its log and all that belongs to it.

        One that waits is cancelled first, so that those who wait for it are told.

        Raises:
            NotFoundError: no such run in this app.
            ConflictError: it is running; cancel it first.
        """

    @abc.abstractmethod
    async def pause(self, app: str, queue: str, now: int) -> QueueState:
        """Start no more runs of the queue until it is resumed; running ones go on. Any name may be paused."""

    @abc.abstractmethod
    async def resume(self, app: str, queue: str) -> QueueState:
        """Take back a pause."""

    @abc.abstractmethod
    async def purge(self, app: str, queue: str, now: int) -> int:
        """Cancel every run of the queue that waits now; returns how many. The running ones go on.

        Done in parts: where the disk fills up in between, some are cancelled and the call raises.
        """

    @abc.abstractmethod
    async def release(self, app: str, queue: str) -> int:
        """Give free the slots that retrying runs hold (strict order); returns how many.

        Raises:
            ConflictError: a running attempt holds the queue; cancel its run instead.
        """

    @abc.abstractmethod
    async def announce(self, needs: Mapping[TaskKey, int]) -> None:
        """Tell which tasks can be run here now; runs of others wait, and cost nothing while they do.

        Leave out a task that needs more memory than the node has in all: in a queue of relaxed order the runs behind
        one of such a task then go on.
        """

    @abc.abstractmethod
    async def prune(self, *, finished_before: int, logs_before: int, limit: int = 1000) -> int:
        """Delete final runs that ended before, and older logs, at most `limit` runs; returns how many runs."""

    # --- reading ------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def get(self, app: str, run: str) -> RunDetail:
        """One run.

        Raises:
            NotFoundError: no such run in this app.
        """

    @abc.abstractmethod
    async def list(self, wanted: RunFilter) -> Page[RunDetail]:
        """Runs, newest first; a page ends early once it holds 8 MB of parameters and results.

        Raises:
            InvalidOptionError: the cursor is not one of ours.
        """

    @abc.abstractmethod
    async def count(self, app: str) -> Mapping[Status, int]:
        """How many runs there are in each status."""

    @abc.abstractmethod
    async def queue(self, app: str, name: str) -> QueueState:
        """One queue; a name that was never used is an empty queue."""

    @abc.abstractmethod
    async def queues(self, app: str, cursor: str | None = None, limit: int = 100) -> Page[QueueState]:
        """Queues that hold, wait or are paused, by name."""

    @abc.abstractmethod
    async def ancestors(self, app: str, run: str) -> builtins.list[Run]:
        """The run itself, its parent, its parent's parent and so on.

        Raises:
            NotFoundError: no such run in this app.
        """

    # --- logs ---------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def append_logs(self, app: str, run: str, lines: Sequence[LogLine]) -> None:
        """Keep lines of a run's log. Durable soon, not at once."""

    @abc.abstractmethod
    async def logs(self, app: str, run: str, after: int = 0, limit: int = 1000) -> LogPage:
        """Lines of a run's log, in order, after the cursor."""

    # --- schedules ----------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def schedules(self, app: str | None = None) -> builtins.list[ScheduleState]:
        """All schedules, by name."""

    @abc.abstractmethod
    async def put_schedules(self, wanted: Sequence[ScheduleState]) -> None:
        """Make the stored schedules these, and no others; one whose rule is unchanged keeps its times."""

    @abc.abstractmethod
    async def fire(self, firing: Firing) -> Run | None:
        """Fire a schedule: moves it on and stores its run in one commit.

        Returns `None`, and does nothing, where it has fired for `due_at` already, is paused or is gone.
        """

    # --- tokens -------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def put_token(self, digest: bytes, app: str, name: str, now: int) -> None:
        """Let the token with this SHA-256 digest act for `app`; storing it again is fine."""

    @abc.abstractmethod
    async def token_app(self, digest: bytes) -> str | None:
        """The app that a token acts for, `None` for a token that is not known."""
