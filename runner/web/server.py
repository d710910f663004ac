"""Opens the API on a port, and closes it without cutting short what it is answering.

The way of a request: `listener` took its connection in, `admission` decides from its head whether it may come in, then
the router finds its handler. Whatever is raised on that way, `problems` answers.
Stopping ends what waits for long: waits for runs are answered with the run as it stands, logs that are followed are
cut, and clients ask again, from where they were. What is being answered gets a few seconds, what comes later on a
connection that was kept is told to ask again elsewhere, and all is closed.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Collection

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from runner.engine.api.operations import Operations
from runner.errors import ConfigError, StoppingError
from runner.web.auth import Authenticate, Tokens
from runner.web.exchange import BODY_MEMORY, OPERATIONS, STOPPING
from runner.web.http.admission import Admission
from runner.web.http.body_memory import BodyMemory
from runner.web.http.hosts import Hosts, is_loopback_only
from runner.web.http.listener import Listener
from runner.web.http.problems import answer_problems
from runner.web.http.protocol import Protocol
from runner.web.routes import health, logs, nodes, queues, runs, tasks

_FINISH_S = 5.0
#: How long what a client still sends is thrown away after its answer; one that is silent is cut off before.
_LINGER_S = 5.0
_MOST_HEADERS = 64
#: What bodies may take in memory together, as they came.
_BODIES_BYTES = 128 << 20
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - to name it, not to bind it

#: What aiohttp says of connections. That a client sends what is no HTTP is no news, and would fill the log.
_http_log = logging.getLogger(f"{__name__}.http")
_http_log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))


class Server:
    """The HTTP side of one runner.

    Attributes:
        operations: what the handlers call.
        authenticate: from a token's digest to its app.
        parameters_bytes: how much the parameters of one run may take as JSON.
        connections: how many clients may be connected at once.
        hosts: under which names it may be called, beside this machine's own.
    """

    def __init__(
        self,
        operations: Operations,
        authenticate: Authenticate,
        *,
        parameters_bytes: int,
        connections: int = 1024,
        hosts: Collection[str] = (),
    ) -> None:
        self._app = web.Application()
        self._app[OPERATIONS] = operations
        self._stopping = self._app[STOPPING] = asyncio.Event()
        self._app[BODY_MEMORY] = BodyMemory(_BODIES_BYTES)
        parts = (runs.routes(parameters_bytes), logs.routes(), queues.routes(), tasks.routes(), nodes.routes())
        for part in (*parts, health.routes()):
            self._app.add_routes(part)
        self._tokens, self._hosts, self._connections = Tokens(authenticate), hosts, connections
        self._runner = web.AppRunner(self._app, shutdown_timeout=_FINISH_S)
        self._listener: Listener | None = None

    async def start(self, host: str, port: int) -> str:
        """Listen, and return the address under which this machine reaches it; port 0 takes a free one.

        Raises:
            ConfigError: the port is in use or not allowed, or the host is not one of this machine's.
        """
        await self._runner.setup()
        try:
            sockets = await _bind(host, port)
        except (OSError, OverflowError) as error:
            await self.stop()
            raise ConfigError(_explain(error, host, port)) from error
        is_local = is_loopback_only([listening.getsockname()[0] for listening in sockets])
        hosts = Hosts({host, *self._hosts}, is_open=not is_local and not self._hosts)
        self._listen(sockets, Admission(hosts, self._tokens))
        bound_port = sockets[0].getsockname()[1]
        reachable = _ANY_ADDRESS.get(host, host)
        return f"http://[{reachable}]:{bound_port}" if ":" in reachable else f"http://{reachable}:{bound_port}"

    async def stop(self) -> None:
        """Stop listening, end what waits, let the rest finish. Stopping twice is fine."""
        self._stopping.set()
        if self._listener is not None:
            self._listener.stop()
        await self._runner.cleanup()

    def _listen(self, sockets: list[socket.socket], admission: Admission) -> None:
        http = self._runner.server
        assert http is not None
        routed = http.request_handler
        listener = self._listener = Listener(lambda: _protocol(http), self._connections)

        async def admitted(request: web.BaseRequest) -> web.StreamResponse:
            if await admission.admit(request):
                connection = listener.find(request.transport)
                if connection is not None and not listener.know(connection):
                    raise web.HTTPServiceUnavailable(
                        text="too many clients are being answered; try again later, or raise connections in [server]"
                    )
                if self._stopping.is_set():
                    raise StoppingError("the server is about to end: ask again, the next one takes the call")
            return await routed(request)

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            connection = listener.find(request.transport)
            if connection is not None:
                connection.began()
            response = await answer_problems(request, admitted)
            is_read = request.content.at_eof()
            if not is_read and not response.prepared:
                response.force_close()  # nobody reads on to where the next request would begin
            if connection is not None:
                connection.ended(is_read=is_read)
            return response

        # Around the router and not behind it, as a middleware would be: who may not come in learns of no route.
        http.request_handler = answer
        listener.start(sockets)


def _protocol(http: web.Server) -> Protocol:
    return Protocol(
        http,
        loop=asyncio.get_running_loop(),
        access_log=None,  # type: ignore[arg-type]  # nothing is logged of each call
        logger=_http_log,
        lingering_time=_LINGER_S,
        max_headers=_MOST_HEADERS,
        auto_decompress=False,  # a body that is compressed is refused, not unpacked
    )


async def _bind(host: str, port: int) -> list[socket.socket]:
    """A socket for each address that `host` has, for all of them where it is empty."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            bound = socket.socket(family, kind, protocol)
            sockets.append(bound)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind(address)
            bound.setblocking(False)
    except OSError:
        for bound in sockets:
            bound.close()
        raise
    return sockets


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
