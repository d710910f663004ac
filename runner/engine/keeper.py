"""Keeps the sandbox at work: a launcher that died is replaced, once what it had launched is proven dead.

What is launched where the kernel cannot limit memory is given to the watchdog, whoever launched it.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from runner.engine.watchdog import Watchdog
from sandbox import Confined, LauncherError, Lease, Level, Sandbox, Spec

_logger = logging.getLogger(__name__)


class Keeper:
    """Launches through a sandbox that it starts again when its launcher died."""

    def __init__(self, sandbox: Sandbox, watchdog: Watchdog) -> None:
        self._sandbox, self._watchdog = sandbox, watchdog
        self._restarting = asyncio.Lock()
        self._restarts = 0

    @property
    def level(self) -> Level:
        """At which the sandbox confines."""
        return self._sandbox.level

    async def launch(self, spec: Spec, lease: Lease | None = None) -> Confined:
        """Launch confined, under a lease if there is one.

        Raises:
            SetupError: a step of the confinement failed.
            LauncherError: the launcher is dead and a new one cannot be started.
        """
        confined = await self._launch(spec, lease)
        if not confined.limits_memory:
            # Told on the loop: from another thread the kill could meet a descriptor that is another attempt's by then.
            kill = partial(asyncio.get_running_loop().call_soon_threadsafe, confined.kill_for_memory)
            self._watchdog.watch(confined.pid, spec.limits.memory_bytes, kill)
        return confined

    async def _launch(self, spec: Spec, lease: Lease | None) -> Confined:
        restarts = self._restarts
        try:
            return await self._sandbox.launch(spec, lease)
        except LauncherError as error:
            async with self._restarting:
                if self._restarts == restarts:  # nobody else has done it since
                    _logger.warning("the launcher is started again: %s", error)
                    await self._sandbox.close()
                    await self._sandbox.start()
                    self._restarts += 1
            return await self._sandbox.launch(spec, lease)
