"""The values that go in and out of a store, apart from those of the domain (`runner.domain.run`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from runner.domain.options.queue_rule import QueueRule
from runner.domain.run import Claim, LogLine, NewRun, QueueState, Run

Item = TypeVar("Item")


class TaskKey(NamedTuple):
    """A task of an app."""

    app: str
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """How much may wait; above it new runs are refused.

    Nodes that share a database may pass it by what several of them add at one instant.
    """

    waiting_per_app: int = 2_000_000
    waiting_per_queue: int = 100_000  # and per task, for runs without a queue
    children_per_run: int = 10_000


@dataclass(frozen=True, slots=True)
class Policy:
    """What the config says: the rule of each queue, by app and name, and how much may wait.

    `queue_rule` is called in the writer's thread: it must be pure.
    """

    queue_rule: Callable[[str, str], QueueRule]
    limits: StoreLimits

    def empty_queue(self, app: str, name: str) -> QueueState:
        """A queue that nothing waits in or holds."""
        rule = self.queue_rule(app, name)
        return QueueState(app=app, name=name, rule=rule, waiting=0, scheduled=0, paused_at=None, opens_at=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a node has free, and what it can run."""

    slots: int
    memory_bytes: int  # free now
    memory_total_bytes: int  # a task that needs more never runs here
    needs: Mapping[TaskKey, int]  # the tasks this node has, and the memory limit of each
    #: The file of each task: slots go round among files. Tasks that are not named count as of one file.
    files: Mapping[TaskKey, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What one call of `Store.claim` gave."""

    claims: tuple[Claim, ...]
    #: When there will be something to do without anybody telling: a due time, an expiry, a rate's next turn.
    wake_at: int | None
    #: The task that waits for more memory than is free; room is kept for it as it appears.
    reserved_for: TaskKey | None = None


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
    declared_at: int = 0  # when a node last told that its tasks declare it


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """A node as it introduces itself."""

    id: str  # fresh for each start of a runner, and for each return after it was declared dead
    name: str  # as people call it; several may have one
    lease_s: float  # how long its claims last unless its lease is renewed
    capacity: int  # attempts at once
    memory_bytes: int  # that their limits may add up to
    version: str  # of isolane
    sandbox: str  # the level of its walls


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """A node as the store sees it."""

    info: NodeInfo
    beat: int  # grows by one with every renewal
    draining: bool  # it was asked to start nothing more
    buried: bool  # it was declared dead; listed until its claims have ended and it was pruned
    running: int  # attempts of it that have not ended
    started_at: int
    last_seen: int  # for people only: whether it lives is told by its beat


class RunKey(NamedTuple):
    """A run of an app."""

    app: str
    id: str

    @classmethod
    def of(cls, run: Run) -> RunKey:
        """The key of this run."""
        return cls(run.app, run.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened in the store, told after its commit."""

    ready: bool = False  # there may be something to claim
    ended: tuple[RunKey, ...] = field(default=())  # runs that reached a final status
    cancelling: tuple[RunKey, ...] = field(default=())  # running runs whose cancellation was asked for
    logged: tuple[str, ...] = field(default=())  # ids of runs whose log grew


class Changes:
    """What one transaction has changed that others wait for; told once it is committed."""

    def __init__(self) -> None:
        self.ready = False  # there may be something to claim
        self.ended: list[Run] = []
        self.cancelling: list[Run] = []
        self.logged: list[str] = []


def notice_of(changes: Collection[Changes]) -> Notice:
    """What to tell of these, committed together."""
    return Notice(
        ready=any(each.ready for each in changes),
        ended=tuple(RunKey.of(run) for each in changes for run in each.ended),
        cancelling=tuple(RunKey.of(run) for each in changes for run in each.cancelling),
        logged=tuple(dict.fromkeys(run for each in changes for run in each.logged)),
    )
