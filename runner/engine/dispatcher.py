"""Claims what this node has room for, and executes it.

It sleeps until somebody tells it that there may be something to do (a run became ready, room was freed, the tasks
changed) or until the instant that the store named (a due time, an expiry, a queue's rate). Nothing is polled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from runner.domain.run import Claim
from runner.domain.status import Reason
from runner.engine.execution import Execution
from runner.engine.parts import Parts
from runner.engine.presenter import Presenter
from runner.engine.recovery import close
from runner.errors import StoreError
from runner.store.contract import Claims, Notice, TaskKey

_RETRY_S = (0.05, 5.0)  # first and longest pause after the store failed
_LONGEST_SLEEP_S = 30.0  # a wall clock that was set forward makes runs due that seemed far off

_logger = logging.getLogger(__name__)


class Dispatcher:
    """The one loop that starts attempts on a node."""

    def __init__(self, parts: Parts, presenter: Presenter) -> None:
        self._parts, self._presenter = parts, presenter
        self._wake = asyncio.Event()
        self._executions: dict[str, Execution] = {}  # by run
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancelling: set[str] = set()
        self._loop_task: asyncio.Task[None] | None = None
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
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for execution in self._executions.values():
            execution.stop(Reason.DRAINED, "was given back since its node stopped", grace_s=0)
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._unlisten()

    async def _run(self) -> None:
        delay_s = _RETRY_S[0]
        while True:
            self._wake.clear()
            try:
                claims = await asyncio.shield(self._claim())
                delay_s = _RETRY_S[0]
            except StoreError as error:
                _logger.warning("cannot claim: %s", error)
                await asyncio.sleep(delay_s * self._parts.rng.uniform(0.5, 1))
                delay_s = min(delay_s * 2, _RETRY_S[1])
                continue
            await self._sleep(claims)

    async def _claim(self) -> Claims:
        """Claim and start. Shielded as a whole: what was claimed is started, also when the loop is told to end."""
        parts = self._parts
        needs = {key: entry.options.memory_bytes for key, entry in parts.catalog.entries.items()}
        claims = await parts.store.claim(parts.node, parts.capacity.room(needs), parts.now())
        for claim in claims.claims:
            parts.capacity.enter(claim.token, needs[TaskKey(claim.run.app, claim.run.task)])
            task = asyncio.create_task(self._execute(claim), name=f"attempt of {claim.run.id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return claims

    async def _sleep(self, claims: Claims) -> None:
        timeout_s = _LONGEST_SLEEP_S
        if claims.wake_at is not None:
            timeout_s = min(max(0.0, (claims.wake_at - self._parts.now()) / 1e6), _LONGEST_SLEEP_S)
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
                while self._parts.capacity.slots_free == 0:
                    # Without a slot there is nothing to claim, whatever becomes ready meanwhile.
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            pass

    async def _execute(self, claim: Claim) -> None:
        run = claim.run
        try:
            entry = self._parts.catalog.entries.get(TaskKey(run.app, run.task))
            if entry is None:
                await close(self._parts, claim, Reason.DRAINED, "its task was taken away before it started")
                return
            execution = self._executions[run.id] = Execution(self._parts, self._presenter, claim, entry)
            if run.id in self._cancelling:
                execution.cancel()
            await execution.execute()
        except Exception as error:
            _logger.exception("a bug of isolane ended attempt %d of run %s; please report it", claim.attempt, run.id)
            await close(self._parts, claim, Reason.LOST, f"isolane itself failed while it ran: {error!r}")
        finally:
            self._executions.pop(run.id, None)
            self._cancelling.discard(run.id)
            self._parts.capacity.leave(claim.token)

    def _on_notice(self, notice: Notice) -> None:
        if notice.ready:
            self._wake.set()
        for run in notice.cancelling:
            self._cancelling.add(run.id)
            execution = self._executions.get(run.id)
            if execution is not None:
                execution.cancel()
