"""Opens the API on a port, and closes it without cutting short what it is answering.

Stopping ends what waits for long (waits for runs, followers of logs), gives other requests a few seconds and closes.
"""

from __future__ import annotations

import asyncio
import errno
import os

from aiohttp import web

from runner.engine.operations import Operations
from runner.errors import ConfigError
from runner.web import health, logs, nodes, queues, runs, tasks
from runner.web.auth import Authenticate, require_token
from runner.web.exchange import OPERATIONS, STOPPING
from runner.web.problems import answer_problems

_FINISH_S = 5.0
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - to name it, not to bind it


class Server:
    """The HTTP side of one runner.

    Attributes:
        operations: what the handlers call.
        authenticate: from a token's digest to its app.
        parameters_bytes: how much the parameters of one run may take as JSON.
    """

    def __init__(self, operations: Operations, authenticate: Authenticate, *, parameters_bytes: int) -> None:
        self._app = web.Application(middlewares=[answer_problems, require_token(authenticate)])
        self._app[OPERATIONS] = operations
        self._app[STOPPING] = asyncio.Event()
        parts = (runs.routes(parameters_bytes), logs.routes(), queues.routes(), tasks.routes(), nodes.routes())
        for part in (*parts, health.routes()):
            self._app.add_routes(part)
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=_FINISH_S)

    async def start(self, host: str, port: int) -> str:
        """Listen, and return the address under which this machine reaches it; port 0 takes a free one.

        Raises:
            ConfigError: the port is in use or not allowed, or the host is not one of this machine's.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except (OSError, OverflowError) as error:
            await self.stop()
            raise ConfigError(_explain(error, host, port)) from error
        bound_port = self._runner.addresses[0][1]
        reachable = _ANY_ADDRESS.get(host, host)
        return f"http://[{reachable}]:{bound_port}" if ":" in reachable else f"http://{reachable}:{bound_port}"

    async def stop(self) -> None:
        """Stop listening, end what waits, let the rest finish. Stopping twice is fine."""
        self._app[STOPPING].set()
        await self._runner.cleanup()


def _explain(error: OSError | OverflowError, host: str, port: int) -> str:
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return f"port {port} is in use on {host}, perhaps by another `isolane serve`; pass --port with a free one"
    if code == errno.EACCES:
        return f"port {port} needs more rights than this user has; pass --port with one from 1024"
    if code == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; pass --host 127.0.0.1 or one that is"
    reason = os.strerror(code) if code is not None and code > 0 else str(error)
    return f"cannot listen on {host}, port {port}: {reason}; pass another --host or --port"
