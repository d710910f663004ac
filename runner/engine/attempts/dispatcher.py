"""Claims what this node has room for, and executes it.

It sleeps until somebody tells it that there may be something to do (a run became ready, room was freed, the tasks
changed) or until the instant that the store named (a due time, an expiry, a queue's rate). Nothing is polled. While
there is more to do than room, it sleeps on: the slot of an attempt that ended is filled in the commit of its end.

Where nodes share a store, what they tell each other may get lost, and so may the reply to a claim. A slow sweep is the
net under that: it looks for work, for claims of this node that it never heard of, and for cancellations.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from runner.backoff import pauses
from runner.domain.run import Claim, Ending, NewRun, Verdict
from runner.domain.status import Reason
from runner.engine.attempts.execution import Execution
from runner.engine.attempts.parts import Parts
from runner.engine.nodes.node import Identity
from runner.errors import StaleClaimError, StoreError
from runner.store.records import Claims, Notice, Room, TaskKey
from sandbox import Lease

_PAUSES_S = (0.05, 5.0)  # first and longest pause after the store failed
_LONGEST_SLEEP_S = 30.0  # a wall clock that was set forward makes runs due that seemed far off
_SWEEP_S = 10.0
_RECORD_S = 10.0  # what a stopping node gives the store to hear how its last attempts ended
_NOTHING = Claims(claims=(), wake_at=None)

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


class Dispatcher:
    """The one loop that starts attempts on a node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._wake = asyncio.Event()
        self._executions: dict[str, Execution] = {}  # by run
        self._tasks: set[asyncio.Task[None]] = set()
        self._tokens: set[str] = set()  # of the claims that it is at work on
        self._swept_at = float("-inf")
        self._cancelling: set[str] = set()
        self._claiming = asyncio.Lock()  # one claim at a time: each is for all the room that there is
        self._loop_task: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[Any]] = set()  # what was asked of the store and may claim
        self._unlisten: Callable[[], None] = lambda: None

    @property
    def codes_in_use(self) -> set[str]:
        """Hashes of the snapshots that attempts execute right now."""
        return {execution.code for execution in self._executions.values()}

    def start(self) -> None:
        """Begin to claim."""
        self._unlisten = self._parts.store.listen(self._on_notice)
        self._loop_task = asyncio.create_task(self._run(), name="dispatcher")

    def wake(self) -> None:
        """There may be something to claim."""
        self._wake.set()

    async def drain(self, grace_s: float) -> None:
        """Claim no more; running attempts get `grace_s` seconds to end, then they are ended and given back."""
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.gather(self._loop_task, return_exceptions=True)
        if self._under_way:
            _, unheard = await asyncio.wait(self._under_way, timeout=_RECORD_S)
            for asking in unheard:
                asking.cancel()  # nothing may start when the sandbox is closed; others notice a claim that is held
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for execution in self._executions.values():
            execution.stop(Reason.DRAINED, "was given back since its node stopped", grace_s=0)
        if self._tasks:
            _, unheard = await asyncio.wait(self._tasks, timeout=_RECORD_S)
            for task in unheard:
                task.cancel()  # its attempt is dead; whoever looks after dead nodes ends its claim
            await asyncio.gather(*unheard, return_exceptions=True)
        self._unlisten()
        self._unlisten = lambda: None

    async def _run(self) -> None:
        pause_s = pauses(*_PAUSES_S)
        while True:
            self._wake.clear()
            try:
                if self._sweep_in_s() <= 0:
                    await self._whole(self._sweep())
                claims = await self._whole(self._claim())
                pause_s = pauses(*_PAUSES_S)
            except (StoreError, StaleClaimError) as error:
                _logger.warning("cannot claim: %s", error)
                self._swept_at = float("-inf")
                await asyncio.sleep(next(pause_s))
                continue
            await self._sleep(claims)

    async def _whole(self, asked: Coroutine[Any, Any, _T]) -> _T:
        """Shielded: what was claimed is started, also when the loop is told to end."""
        task = asyncio.create_task(asked)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _claim(self) -> Claims:
        """Claim and start."""
        async with self._claiming:
            parts, identity = self._parts, self._parts.node.identity
            if not parts.node.may_claim:
                return _NOTHING
            room = parts.capacity.room(parts.catalog.needs, parts.catalog.files)
            claims = await parts.store.claim(identity.id, room, parts.store.now())
            self._start(claims, room, identity)
            return claims

    async def _finish(self, claim: Claim, ending: Ending, verdict: Verdict, effects: Sequence[NewRun]) -> None:
        """Tell the store how an attempt ended; if something may wait for its place, with a claim in the same commit."""
        parts, identity = self._parts, self._parts.node.identity
        if effects or not self._is_full():
            run = await parts.store.finish(claim, ending, verdict, effects)
            if run.status.is_final:
                await parts.waiters.heard(run.app, run.id)  # who waited for it goes on ahead of anything new
            return
        async with self._claiming:
            room = parts.capacity.room(parts.catalog.needs, parts.catalog.files, without=claim.token)
            asked = parts.store.finish_and_claim(
                claim, ending, verdict, node=identity.id, room=room, now=parts.store.now()
            )
            _, claims = await self._whole(asked)
            self._start(claims, room, identity)

    def _is_full(self) -> bool:
        """Whether what comes free is for something new: where a slot was free, nothing new was waiting."""
        capacity = self._parts.capacity
        if capacity.slots_free or capacity.has_parked or self._claiming.locked():
            return False
        return self._parts.node.may_claim

    def _start(self, claims: Claims, room: Room, identity: Identity) -> None:
        for claim in claims.claims:
            self._parts.capacity.enter(claim.token, room.needs[TaskKey(claim.run.app, claim.run.task)])
            self._tokens.add(claim.token)
            task = asyncio.create_task(self._execute(claim, identity.lease), name=f"attempt of {claim.run.id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _sweep(self) -> None:
        """Find what nobody told. No claim is on its way meanwhile."""
        self._swept_at = asyncio.get_running_loop().time()
        async with self._claiming:
            held = await self._parts.store.orphans(self._parts.node.identity.id)
        for claim in held:
            if claim.token not in self._tokens:
                await self._parts.recorder.close(
                    claim, Reason.DRAINED, "was given back: its node never heard of its claim"
                )
            elif claim.run.cancel_requested_at is not None:
                self._cancel(claim.run.id)
        self._cancelling.intersection_update(self._executions)  # others are other nodes' runs

    def _sweep_in_s(self) -> float:
        if not self._parts.store.is_shared:
            return float("inf")
        return max(0.0, self._swept_at + _SWEEP_S - asyncio.get_running_loop().time())

    async def _sleep(self, claims: Claims) -> None:
        timeout_s = min(_LONGEST_SLEEP_S, self._sweep_in_s())
        if claims.wake_at is not None:
            timeout_s = min(timeout_s, max(0.0, (claims.wake_at - self._parts.store.now()) / 1e6))
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
                while self._parts.capacity.slots_free == 0:
                    # Without a slot there is nothing to claim, whatever becomes ready meanwhile.
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            pass

    async def _execute(self, claim: Claim, lease: Lease | None) -> None:
        run = claim.run
        try:
            entry = self._parts.catalog.entries.get(TaskKey(run.app, run.task))
            if entry is None:
                await self._parts.recorder.close(claim, Reason.DRAINED, "its task was taken away before it started")
                return
            execution = self._executions[run.id] = Execution(
                self._parts, claim, entry, lease=lease, finish=self._finish
            )
            if run.id in self._cancelling:
                execution.cancel()
            await execution.execute()
        except Exception as error:
            _logger.exception("a bug of isolane ended attempt %d of run %s; please report it", claim.attempt, run.id)
            await self._parts.recorder.close(claim, Reason.LOST, f"isolane itself failed while it ran: {error!r}")
        finally:
            self._executions.pop(run.id, None)
            self._cancelling.discard(run.id)
            self._tokens.discard(claim.token)
            self._parts.capacity.leave(claim.token)

    def _on_notice(self, notice: Notice) -> None:
        if notice.ready:
            self._wake.set()
        for run in notice.cancelling:
            self._cancel(run.id)

    def _cancel(self, run: str) -> None:
        self._cancelling.add(run)
        execution = self._executions.get(run)
        if execution is not None:
            execution.cancel()
