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
from runner.engine.api.operations import Operations
from runner.engine.api.presenter import Presenter
from runner.engine.api.submission import Submission
from runner.engine.api.waiters import Waiters
from runner.engine.attempts.dispatcher import Dispatcher
from runner.engine.chores import Chores
from runner.engine.nodes.capacity import Capacity
from runner.engine.nodes.membership import Membership
from runner.engine.nodes.node import Node
from runner.engine.nodes.recovery import recover
from runner.engine.nodes.relauncher import Relauncher
from runner.engine.nodes.takeover import Takeover
from runner.engine.parts import Parts
from runner.engine.schedules.periodic import Periodic
from runner.errors import RunnerError
from runner.store.contract import Store
from sandbox import Sandbox

_AGAIN_S = 5.0  # after the store did not take what the tasks folder has by now

_RELOAD_S = 5.0  # for modules to say what they declare, where a task is asked for that is not there

_logger = logging.getLogger(__name__)


class Engine:
    """The runner without its doors: HTTP and the command line use `operations`."""

    def __init__(self, settings: Settings, store: Store, sandbox: Sandbox, memory: Path) -> None:
        """`memory` is a file of this node's own, beside the lock file of its sandbox."""
        self._store, self._sandbox = store, sandbox
        relauncher = Relauncher(sandbox)
        self._catalog = Catalog(settings, relauncher)
        node = settings.runner
        capacity = Capacity(
            node.concurrency,
            node.memory_bytes,
            self._wake,
            most_parked=node.waiting_parents,
            warm_bytes=lambda: sandbox.warm_bytes,
        )
        sandbox.share_memory(capacity.unclaimed_bytes)
        self.parts = Parts(
            settings=settings,
            store=store,
            catalog=self._catalog,
            sandbox=sandbox,
            relauncher=relauncher,
            capacity=capacity,
            waiters=Waiters(store),
            submission=Submission(settings, self._catalog, store.now),
            now=store.now,
            rng=random.Random(),
            node=Node(settings.runner.name, memory),
        )
        presenter = Presenter(self.parts)
        self._presenter = presenter
        self._dispatcher = Dispatcher(self.parts, presenter)
        self._membership = Membership(self.parts, self._announce, self._wake)
        self._takeover = Takeover(self.parts, self._wake)
        self._clock = AsyncIOScheduler(timezone="UTC")
        self._periodic = Periodic(self.parts, self._clock)
        self._chores = Chores(self.parts, self._periodic, self._codes_in_use)
        self._watching: asyncio.Task[None] | None = None
        self.operations = Operations(self.parts, presenter, self.reload, self._wake)

    @property
    def catalog(self) -> Catalog:
        """The tasks of this node."""
        return self._catalog

    async def start(self, *, periodic: bool = True, patience_s: float | None = None) -> None:
        """Start everything; without `periodic` neither schedules nor the watch over the tasks folder.

        For modules that say what they declare it is waited for `patience_s`, see `Catalog.load`.
        """
        await self._store.open()
        await self._sandbox.start()
        await self._catalog.load(patience_s=patience_s)
        await self._store.set_back(self.parts.now())  # since it was open last
        await recover(self.parts)
        await self._membership.start()
        self._takeover.start()
        self._dispatcher.start()
        self.operations.is_ready = True
        if periodic:
            self._clock.start()
            await self._periodic.refresh()
            self._chores.start()
            self._watching = asyncio.create_task(self._watch(), name="watch over tasks")

    async def drain(self) -> None:
        """Start nothing more, and return when no attempt runs; whatever else can be asked is answered as before.

        Draining what was not started, or twice, is fine.
        """
        self.operations.is_ready = False
        self.parts.node.stopping = True
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._chores.stop()
        if self._clock.running:
            self._clock.shutdown(wait=False)
        await self._takeover.stop()
        await self._dispatcher.drain(self.parts.settings.runner.stop_grace_s)

    async def stop(self) -> None:
        """Drain and give back everything. Stopping what was not started, or twice, is fine."""
        await self.drain()
        await self._catalog.close()
        self.parts.waiters.close()
        await self._sandbox.close()
        await self._membership.stop()
        await self._store.close()

    async def reload(self) -> None:
        """Take the tasks folder as it is now into use; without a change nothing happens."""
        await self._catalog.load(patience_s=_RELOAD_S)
        await self._take_tasks()

    async def _watch(self) -> None:
        """Take each saved state of the tasks folder into use."""
        changed = asyncio.Event()
        watching = asyncio.create_task(self._catalog.watch(changed.set))
        try:
            while True:
                await changed.wait()
                changed.clear()
                try:
                    await self._take_tasks()
                    self._tell_tasks()
                except RunnerError as error:
                    _logger.warning("the saved tasks are taken into use later: %s", error)
                    await asyncio.sleep(_AGAIN_S * self.parts.rng.uniform(0.5, 1))
                    changed.set()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _take_tasks(self) -> None:
        self._sandbox.retire_zygotes(self._catalog.is_current)
        await self._announce()
        if self._clock.running:
            await self._periodic.refresh()
        self._dispatcher.wake()

    def _tell_tasks(self) -> None:
        _logger.info("the saved tasks are in use: %d in all", len(self._catalog.entries))
        for problem in self._catalog.problems.values():
            kept = "; its last good version stays in use" if problem.kept else ""
            _logger.warning("%s: %s: %s%s", problem.file, problem.error.type, problem.error.message, kept)

    def _wake(self) -> None:
        self._dispatcher.wake()

    def _codes_in_use(self) -> set[str]:
        return self._dispatcher.codes_in_use

    async def _announce(self) -> None:
        """Tell the store which tasks can run here; one that never fits must not stand in the way of others."""
        needs = {key: entry.options.memory_bytes for key, entry in self._catalog.entries.items()}
        total = self.parts.capacity.memory_bytes
        await self._store.announce({key: need for key, need in needs.items() if need <= total})
