"""One node at work: joins the parts, starts and stops the services in their order.

Start: store, sandbox (which waits for proof that the attempts of an earlier runner are dead), tasks, recovery of what
was lost, membership, dispatch, schedules. Stop: the same backwards, in two steps. While it drains, nothing new is
started, running attempts get their grace and what is left is given back; `operations` goes on meanwhile, and what they
store is executed by the next start or by another node. Then all is closed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from pathlib import Path

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from runner.catalog import Catalog
from runner.config import Settings
from runner.engine.api.enqueueing import Enqueueing
from runner.engine.api.operations import Operations
from runner.engine.api.presenter import Presenter
from runner.engine.api.readiness import Readiness
from runner.engine.api.submission import Submission
from runner.engine.api.waiters import Waiters
from runner.engine.attempts.dispatcher import Dispatcher
from runner.engine.attempts.parts import Parts
from runner.engine.attempts.recorder import Recorder
from runner.engine.chores import Chores
from runner.engine.nodes.capacity import Capacity
from runner.engine.nodes.membership import Membership
from runner.engine.nodes.node import Node
from runner.engine.nodes.recovery import recover
from runner.engine.nodes.relauncher import Relauncher
from runner.engine.nodes.takeover import Takeover
from runner.engine.schedules.periodic import Periodic
from runner.errors import RunnerError
from runner.store.contract import Store
from sandbox import Sandbox

_AGAIN_S = 5.0  # after the store did not take what the tasks folder has by now

_RELOAD_S = 5.0  # for modules to say what they declare, where a task is asked for that is not there

_logger = logging.getLogger(__name__)


class Engine:
    """The runner without its doors.

    Attributes:
        operations: what HTTP and the command line call.
        store, sandbox, catalog, capacity, node, relauncher: what its services work with.
    """

    def __init__(self, settings: Settings, store: Store, sandbox: Sandbox, memory: Path) -> None:
        """`memory` is a file of this node's own, beside the lock file of its sandbox."""
        own = settings.runner
        self._stop_grace_s = own.stop_grace_s
        self.store, self.sandbox = store, sandbox
        self.node = Node(own.name, memory)
        self.relauncher = Relauncher(sandbox)
        self.catalog = Catalog(settings, self.relauncher)
        self.capacity = Capacity(
            own.concurrency,
            own.memory_bytes,
            self._wake,
            most_parked=own.waiting_parents,
            warm_bytes=lambda: sandbox.warm_bytes,
        )
        sandbox.share_memory(self.capacity.unclaimed_bytes)
        self._waiters = Waiters(store)
        self._readiness = Readiness(store, self.node, sandbox)
        self._recorder = Recorder(store, self.catalog)
        submission = Submission(settings, self.catalog, store.now)
        enqueueing = Enqueueing(store, own.store_patience_s)
        presenter = Presenter(store, self.catalog, self.capacity, self.node)
        self._dispatcher = Dispatcher(
            Parts(
                settings=settings,
                store=store,
                catalog=self.catalog,
                node=self.node,
                capacity=self.capacity,
                relauncher=self.relauncher,
                recorder=self._recorder,
                submission=submission,
                enqueueing=enqueueing,
                presenter=presenter,
                waiters=self._waiters,
            )
        )
        self._membership = Membership(
            store, self.node, self.capacity, sandbox, own.lease_s, announce=self._announce, joined=self._wake
        )
        self._takeover = Takeover(store, self.node, own.lease_s, self._recorder.close, self._wake)
        self._clock = AsyncIOScheduler(timezone="UTC")
        self._periodic = Periodic(store, self.catalog, self._clock)
        self._chores = Chores(
            store, self.catalog, self._periodic, settings.retention, lambda: self._dispatcher.codes_in_use
        )
        self._watching: asyncio.Task[None] | None = None
        self.operations = Operations(
            store,
            self.catalog,
            self.node,
            submission=submission,
            enqueueing=enqueueing,
            presenter=presenter,
            waiters=self._waiters,
            readiness=self._readiness,
            reload=self.reload,
            wake=self._wake,
        )

    async def start(self, *, periodic: bool = True, patience_s: float | None = None) -> None:
        """Start everything; without `periodic` neither schedules nor the watch over the tasks folder.

        For modules that say what they declare it is waited for `patience_s`, see `Catalog.load`.
        """
        await self.store.open()
        await self.sandbox.start()
        await self.catalog.load(patience_s=patience_s)
        await self.store.set_back(self.store.now())  # since it was open last
        await recover(self.store, self.node, self._recorder.close)
        await self._membership.start()
        self._takeover.start()
        self._dispatcher.start()
        self._readiness.is_started = True
        if periodic:
            self._clock.start()
            await self._periodic.refresh()
            self._chores.start()
            self._watching = asyncio.create_task(self._watch(), name="watch over tasks")

    async def drain(self) -> None:
        """Start nothing more, and return when no attempt runs; whatever else can be asked is answered as before.

        Draining what was not started, or twice, is fine.
        """
        self._readiness.is_started = False
        self.node.stopping = True
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._chores.stop()
        if self._clock.running:
            self._clock.shutdown(wait=False)
        await self._takeover.stop()
        await self._dispatcher.drain(self._stop_grace_s)

    async def stop(self) -> None:
        """Drain and give back everything. Stopping what was not started, or twice, is fine."""
        await self.drain()
        await self.catalog.close()
        self._waiters.close()
        await self.sandbox.close()
        await self._membership.stop()
        await self.store.close()

    async def reload(self) -> None:
        """Take the tasks folder as it is now into use; without a change nothing happens."""
        await self.catalog.load(patience_s=_RELOAD_S)
        await self._take_tasks()

    async def _watch(self) -> None:
        """Take each saved state of the tasks folder into use."""
        changed = asyncio.Event()
        watching = asyncio.create_task(self.catalog.watch(changed.set))
        try:
            while True:
                await changed.wait()
                changed.clear()
                try:
                    await self._take_tasks()
                    self._tell_tasks()
                except RunnerError as error:
                    _logger.warning("the saved tasks are taken into use later: %s", error)
                    await asyncio.sleep(_AGAIN_S * random.uniform(0.5, 1))
                    changed.set()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _take_tasks(self) -> None:
        self.sandbox.retire_zygotes(self.catalog.is_current)
        await self._announce()
        if self._clock.running:
            await self._periodic.refresh()
        self._dispatcher.wake()

    def _tell_tasks(self) -> None:
        _logger.info("the saved tasks are in use: %d in all", len(self.catalog.entries))
        for problem in self.catalog.problems.values():
            kept = "; its last good version stays in use" if problem.kept else ""
            _logger.warning("%s: %s: %s%s", problem.file, problem.error.type, problem.error.message, kept)

    def _wake(self) -> None:
        self._dispatcher.wake()

    async def _announce(self) -> None:
        """Tell the store which tasks can run here; one that never fits must not stand in the way of others."""
        needs = {key: entry.options.memory_bytes for key, entry in self.catalog.entries.items()}
        total = self.capacity.memory_bytes
        await self.store.announce({key: need for key, need in needs.items() if need <= total})
