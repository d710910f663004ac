"""The composition root: the only place that joins the store, the sandbox, the engine and the doors."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import logging
import resource
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from runner.catalog import START_PATIENCE_S
from runner.catalog.confinement import check_required, make_sandbox, unstartable
from runner.catalog.entries import APP
from runner.config import Settings
from runner.domain import logformat
from runner.engine.engine import Engine
from runner.greeting import Say, greet
from runner.state_folder import forget_address, local_token, make_state_folder, tell_address
from runner.store import open_store
from runner.store.records import StoreLimits
from runner.web.server import Server
from sandbox import SandboxError

#: How long a thread that computes keeps the others waiting, where it is Python: the event loop, and the heartbeat, ask
#: again after every call to the kernel. Unless said it would be ten times as long.
_SWITCH_S = 0.0005


async def serve(settings: Settings, host: str, port: int, say: Say) -> None:
    """Run one node with its HTTP side until SIGTERM or SIGINT; then drain. What there is to tell goes to `say`.

    While it drains, it is called as before: nobody notices before the port is closed, which is the last thing but one.
    A second signal ends the process at once.

    Raises:
        RunnerError: (one of its kinds) it cannot start; the message says why and what to do.
    """
    logformat.set_up_log()
    for library in ("apscheduler", "watchfiles"):
        logging.getLogger(library).setLevel(logging.WARNING)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop, number, stopping, say)
    state = make_state_folder(settings.project)
    lock_file = state / "attempts.lock"
    async with running_engine(settings, settings.runner.store, lock_file, patience_s=START_PATIENCE_S) as engine:
        # The sandbox has raised it as far as it goes. One half is for the store and for attempts.
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        server = Server(
            engine.operations,
            engine.operations.authenticate,
            parameters_bytes=settings.limits.parameters_bytes,
            connections=min(settings.server.connections, descriptors // 2),
            hosts=settings.server.hosts,
        )
        url = await server.start(host, port)
        try:
            digest = hashlib.sha256(local_token(state).encode()).digest()
            await engine.store.put_token(digest, APP, "local", engine.store.now())
            tell_address(state, url)
            gc.collect()
            gc.freeze()  # what is there by now stays: to look through it again and again held up the loop for 50 ms
            greet(url, engine.sandbox.walls, engine.catalog, say)
            await stopping.wait()
            say(
                f"\nStopping: running attempts get {settings.runner.stop_grace_s:g} s to end, and calls are answered "
                "meanwhile; once more ends it at once ...",
                err=True,
            )
            await engine.drain()
        finally:
            forget_address(state)
            await server.stop()


def _stop(number: int, stopping: asyncio.Event, say: Say) -> None:
    """Begin to stop; asked a second time, end as if nobody handled the signal."""
    if not stopping.is_set():
        stopping.set()
        return
    name = signal.Signals(number).name
    say(f"\n{name} while it stopped: ending at once; what is cut off counts as lost and runs again", err=True)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


@contextlib.asynccontextmanager
async def running_engine(
    settings: Settings, store_url: str, lock_file: Path, *, periodic: bool = True, patience_s: float | None = None
) -> AsyncIterator[Engine]:
    """An engine that works, and is drained at the end; `periodic` and `patience_s` as in `Engine.start`."""
    sys.setswitchinterval(_SWITCH_S)
    settings.secrets.check()
    limits = StoreLimits(
        waiting_per_app=settings.limits.waiting_per_app,
        waiting_per_queue=settings.limits.waiting_per_queue,
        children_per_run=settings.limits.children_per_run,
    )
    store = open_store(
        store_url,
        project=settings.project,
        limits=limits,
        queue_rule=settings.queue_rule,
        listen_url=settings.runner.listen_url,
    )
    engine = Engine(settings, store, make_sandbox(settings, lock_file), lock_file.with_name("node"))
    try:
        try:
            await engine.start(periodic=periodic, patience_s=patience_s)
        except SandboxError as error:
            raise unstartable(error) from error
        check_required(settings, engine.sandbox)
        yield engine
    finally:
        await engine.stop()
