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
* Text with U+0000 or half a character (a lone surrogate) is kept by no store: what such a name asks for is not found,
  what would be kept under it is refused (`InvalidOptionError`), and in a sentence (`why`) the character is replaced.
* Instants come from the caller, who has them from `Store.now`, in microseconds since 1970, UTC.
* Logs do not share the commits of claims.
"""

from __future__ import annotations

import abc
import builtins
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar

from runner.domain.options.run_filter import RunFilter
from runner.domain.run import Claim, Ending, LogLine, NewRun, QueueState, Run, RunDetail, Verdict
from runner.domain.status import Status
from runner.store.contents import Contents
from runner.store.records import (
    Claims,
    Firing,
    LogPage,
    NodeInfo,
    NodeState,
    Notice,
    Page,
    Room,
    ScheduleState,
    TaskKey,
)


class Lease(abc.ABC):
    """Renews the lease of one node, apart from everything else that the store does.

    Made anywhere, then used in one event loop, which may be another thread's than the store's.
    """

    @abc.abstractmethod
    async def renew(self) -> bool:
        """Tell that the node lives; `False` means that it was declared dead or has left, and that nothing was renewed.

        Tries once. One that was given up or failed may or may not have been written.

        Raises:
            StoreUnavailableError: the store could not be reached within the time given; try again.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Give back its resources, in the loop that used it. Closing twice is fine."""


class Store(abc.ABC):
    """The durable state of isolane. Every method is safe to call from concurrent asyncio tasks of one loop."""

    #: Whether several nodes may work on it at once; then attempts have to end with the lease of their node.
    is_shared: ClassVar[bool] = True

    # --- life ---------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def open(self, *, as_it_is: bool = False) -> None:
        """Open it, take the lock, bring the schema up to date and the queues in line with the config.

        Args:
            as_it_is: change nothing of that: for looking at it, and for copying it.

        Raises:
            StoreUnavailableError: the path cannot be written, or it is no database of ours; names the path.
            StoreLockedError: another runner has it open.
            StoreVersionError: written by a newer isolane; or by an older one, and `as_it_is`.
        """

    @abc.abstractmethod
    async def migrate(self) -> None:
        """Make it where there is none, and bring its schema up to date, nothing else. It must not be open.

        Raises:
            StoreError: as `open`.
        """

    @abc.abstractmethod
    async def check(self) -> list[str]:
        """All that is wrong with what is stored. It must not be open; nothing is written, and runners may go on.

        Raises:
            StoreError: as `open`.
        """

    @abc.abstractmethod
    def contents(self) -> Contents:
        """All that it holds, row by row, once it is open."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Finish what was accepted, give back every resource. Closing twice is fine."""

    @abc.abstractmethod
    def listen(self, callback: Callable[[Notice], None]) -> Callable[[], None]:
        """Call `callback` on the event loop after each commit that matters; returns what ends it.

        What a claim itself hands out is not told as `ready`.
        """

    @abc.abstractmethod
    def now(self) -> int:
        """The present instant by the store's clock, in microseconds since 1970: at once, and from any thread.

        The clock of a database that several nodes share is the one that counts for all of them.
        """

    # --- nodes --------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def register(self, node: NodeInfo) -> None:
        """Make a node known, with its first beat, and announce as it from now on. Doing it again changes nothing.

        Raises:
            StoreUnavailableError: the store is the unfinished copy of another one.
        """

    @abc.abstractmethod
    def lease(self, node: str, *, within_s: float) -> Lease:
        """What renews the lease of the node with this id; each renewal takes at most `within_s` seconds."""

    @abc.abstractmethod
    async def nodes(self) -> list[NodeState]:
        """All nodes that have not left, by name and start."""

    @abc.abstractmethod
    async def bury(self, node: str, beat: int) -> list[Claim] | None:
        """Declare a node dead if its beat is still this one; returns its claims that have not ended, as `orphans`.

        `None` means that its beat has moved on, or that there is no such node: nothing was changed. Burying again
        returns the claims that are left. From then on the node renews and claims nothing, whatever it still believes.
        """

    @abc.abstractmethod
    async def leave(self, node: str) -> None:
        """Forget a node that ends in good order; one that is gone already is fine.

        Raises:
            ConflictError: it has claims that have not ended.
        """

    @abc.abstractmethod
    async def drain_node(self, name: str, *, draining: bool = True) -> int:
        """Ask the node with this id, or all of this name, to start nothing more (`NodeState.draining`), or to go on.

        Returns how many there are. A node that is to start nothing is handed out nothing from then on, whether it has
        heard of it or not.

        Raises:
            NotFoundError: no node that lives has this id or name.
        """

    # --- scheduling ---------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def enqueue(self, runs: Sequence[NewRun]) -> list[Run]:
        """Store the runs, all or none, and return them in order.

        A run whose id is stored already is returned as it stands (a repeated call after a lost reply); so is the
        earlier run of the same app, task, scheduling task (or outside) and idempotency key.

        Raises:
            ConflictError: the idempotency key was used with other parameters, or the id is that of a run of another
                task or parent.
            LimitExceededError: too many runs wait in the app or the queue, the scheduling task has had its share of
                what may wait (`runner.store.waiting_limits`), or the parent has too many children.
            StoreFullError: no room on the disk.
        """

    @abc.abstractmethod
    async def claim(self, node: str, room: Room, now: int) -> Claims:
        """Hand out runs to execute, within `room`; each becomes `running` with a new attempt.

        Also does what `now` makes due: scheduled runs become queued, runs past their expiry expire, queues that their
        rate kept shut open. For a task whose turn it is and that does not fit in the free memory, what is free is kept
        (`Claims.reserved_for`, one task at a time), so that it is not passed for ever; but only for times that
        alternate with times when others may have it, so that they are not stopped for ever either.

        Raises:
            StaleClaimError: the node was declared dead; it may come back under a fresh id.
        """

    @abc.abstractmethod
    async def finish(self, claim: Claim, ending: Ending, verdict: Verdict, children: Sequence[NewRun] = ()) -> Run:
        """Record how an attempt ended and what follows; `children` (effects of a success) appear in the same commit.

        A run whose cancellation was asked for gets no next attempt: it is `cancelled` where the verdict would give one.
        A repeated call (after a lost reply) returns the run as it stands.

        Raises:
            StaleClaimError: the claim has ended; nothing was changed.
            LimitExceededError: there is no room for the children.
        """

    @abc.abstractmethod
    async def finish_and_claim(
        self, claim: Claim, ending: Ending, verdict: Verdict, *, node: str, room: Room, now: int
    ) -> tuple[Run, Claims]:
        """`finish` without children, then `claim` by the node, whose room includes what the attempt had: one commit.

        It may hand out nothing where `claim` would: what time makes due, and what others are busy with, is left to
        that. A node that was declared dead is handed out nothing either.

        Raises:
            StaleClaimError: the claim has ended; nothing was changed, and nothing handed out.
        """

    @abc.abstractmethod
    async def orphans(self, node: str | None = None) -> list[Claim]:
        """Claims whose attempts have not ended, of one node or of all: what a crash left. Parameters are left empty."""

    @abc.abstractmethod
    async def progress(self, claim: Claim, progress: str) -> None:
        """Keep what a live attempt says of its progress, JSON text; a stale claim does nothing and raises nothing."""

    @abc.abstractmethod
    async def set_back(self, now: int) -> None:
        """The clock was set back, to `now`: what waits for a while that began later than this waits from now on.

        That is the time between two starts of a queue, before a retry, and before a run that was not scheduled for an
        instant; with that goes when it expires. What this changed it does not change again.
        """

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
        """Tell which tasks the node registered last has now; runs of others wait, and cost nothing while they do.

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

    async def queue(self, app: str, name: str) -> QueueState:
        """One queue; a name that was never used is an empty queue."""
        return (await self.named_queues(app, {name}))[name]

    @abc.abstractmethod
    async def named_queues(self, app: str, names: Collection[str]) -> Mapping[str, QueueState]:
        """The queues of these names, at one moment."""

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
        """Keep lines of a run's log. Durable soon, not at once.

        After a call that failed the same lines may be given again; they are kept once.
        """

    @abc.abstractmethod
    async def logs(self, app: str, run: str, after: int = 0, limit: int = 1000) -> LogPage:
        """Lines of a run's log, in order, after the cursor."""

    # --- schedules ----------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def schedules(self, app: str | None = None) -> builtins.list[ScheduleState]:
        """All schedules, by name."""

    @abc.abstractmethod
    async def schedule(self, app: str, name: str) -> ScheduleState | None:
        """One schedule, `None` where there is none."""

    @abc.abstractmethod
    async def put_schedules(self, declared: Sequence[ScheduleState], now: int) -> None:
        """Store what was declared just now: it counts from now on. One whose rule is unchanged keeps its times."""

    @abc.abstractmethod
    async def keep_schedules(
        self, declared: Sequence[ScheduleState], now: int, *, silent_us: int, forgotten_us: int
    ) -> None:
        """Tell again what a node declares, which others may since have declared otherwise.

        Where the stored rule is another, it stands unless whoever declared it has kept silent for longer than
        `silent_us`. Schedules that nobody declared for `forgotten_us` of the time in which anybody declared anything
        are deleted.
        """

    @abc.abstractmethod
    async def fire(self, firing: Firing) -> Run | None:
        """Fire a schedule: moves it on and stores its run in one commit.

        Returns `None`, and does nothing, where it has fired for `due_at` already or is gone.
        """

    @abc.abstractmethod
    async def reschedule(self, app: str, name: str, *, seen: int, next_at: int) -> None:
        """Let a schedule fire at `next_at` next, where that is still at `seen`."""

    # --- tokens -------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def put_token(self, digest: bytes, app: str, name: str, now: int) -> None:
        """Let the token with this SHA-256 digest act for `app`; storing it again is fine."""

    @abc.abstractmethod
    async def token_app(self, digest: bytes) -> str | None:
        """The app that a token acts for, `None` for a token that is not known."""
