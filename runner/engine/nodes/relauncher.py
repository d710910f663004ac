"""Keeps the sandbox at work: a launcher that died is replaced, once what it had launched is proven dead."""

from __future__ import annotations

import asyncio
import logging

from sandbox import Confined, LauncherError, Lease, Level, Sandbox, Spec

_logger = logging.getLogger(__name__)


class Relauncher:
    """Launches through a sandbox that it starts again when its launcher died."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._restarting = asyncio.Lock()
        self._restarts = 0

    @property
    def level(self) -> Level:
        """At which the sandbox confines."""
        return self._sandbox.level

    @property
    def walls(self) -> str:
        """What confines an attempt, as people read it."""
        return self._sandbox.walls

    async def launch(self, spec: Spec, lease: Lease | None = None) -> Confined:
        """Launch confined, under a lease if there is one; what is kept warm makes room for it first.

        Raises:
            SetupError: a step of the confinement failed.
            LauncherError: the launcher is dead and a new one cannot be started.
        """
        restarts = self._restarts
        await self._sandbox.make_room()
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
