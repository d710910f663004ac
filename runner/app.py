"""The composition root: the only place that joins the store, the sandbox, the engine and the doors.

.isolane/                   the node's own folder in the project, mode 0700
isolane.db              the store (where the config says so)
attempts.lock           held by the launcher and by every attempt: proof that they are dead
node                    who this node is, where it shares its store with others
code/                   snapshots of the tasks folder by hash
server.json, token      where the local command line finds the server, and its right to call it
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import json
import logging
import os
import resource
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

from runner.catalog.catalog import Catalog
from runner.config import Settings
from runner.domain import logformat
from runner.domain.documents import Document
from runner.domain.escaping import escaped
from runner.domain.options.run_filter import RunFilter
from runner.domain.run import LogLine
from runner.domain.status import Status
from runner.engine.engine import Engine
from runner.errors import ConfigError, StoreUnavailableError
from runner.store import open_store
from runner.store.records import Notice, StoreLimits
from runner.uuid7 import uuid7
from runner.web.server import Server
from sandbox import Level, Sandbox, SandboxError

#: What task code imports of isolane.
_PACKAGES = ("runner", "sandbox")
#: What most attempts would import anyway: loaded once in the launcher. All of it is the standard library's and ours.
_PRELOAD = ("runner.guest.main", "runner.sdk.context", "runner.sdk.decorator", "runner.sdk.schedule", "dataclasses")
APP = "main"
#: For modules to say what they declare; those that take longer come into use later.
_PATIENCE_S = 3.0


class Say(Protocol):
    """Prints lines for whoever started it."""

    def __call__(self, text: str, /, *, err: bool = False) -> None:
        """Print to stdout, or to stderr."""


#: How long a thread that computes keeps the others waiting, where it is Python: the event loop, and the heartbeat, ask
#: again after every call to the kernel. Unless said it would be ten times as long.
_SWITCH_S = 0.0005

_logger = logging.getLogger(__name__)


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
    state = _state_folder(settings)
    async with running_engine(
        settings, settings.runner.store, state / "attempts.lock", patience_s=_PATIENCE_S
    ) as engine:
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
            token = _local_token(state)
            await engine.store.put_token(hashlib.sha256(token.encode()).digest(), APP, "local", engine.store.now())
            _write_private(state / "server.json", json.dumps({"url": url, "pid": os.getpid()}) + "\n")
            gc.collect()
            gc.freeze()  # what is there by now stays: to look through it again and again held up the loop for 50 ms
            _greet(url, engine, say)
            await stopping.wait()
            say(
                f"\nStopping: running attempts get {settings.runner.stop_grace_s:g} s to end, and calls are answered "
                "meanwhile; once more ends it at once ...",
                err=True,
            )
            await engine.drain()
        finally:
            (state / "server.json").unlink(missing_ok=True)
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


async def run_once(
    settings: Settings, task: str, parameters: object, on_log: Callable[[Document, LogLine], None]
) -> Document:
    """Run one task here and now in a throwaway store, with all that it schedules and that is due; its run's document.

    `on_log` gets each line of each run as it comes, with the document of its run.
    """
    with tempfile.TemporaryDirectory(prefix="isolane-") as folder:
        store = f"sqlite:{folder}/isolane.db"
        async with running_engine(
            settings, store, Path(folder) / "attempts.lock", periodic=False, patience_s=_PATIENCE_S
        ) as engine:
            operations = engine.operations
            await engine.catalog.wait_for(task)
            printed = asyncio.create_task(_print_logs(engine, on_log))
            try:
                request = {"id": uuid7(), "task": task, "parameters": parameters}
                [run] = await operations.schedule(APP, [request])
                document = await operations.wait(APP, run["id"], None)
                await _until_idle(engine)
                return document
            finally:
                printed.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await printed


async def warm_starts(settings: Settings) -> dict[str, str]:
    """Try, for each file of tasks, whether its attempts can start warm: why not, or an empty text if they can.

    Raises:
        ConfigError: the level that the config demands cannot be had.
        TasksFolderError: there are no tasks to try.
    """
    with tempfile.TemporaryDirectory(prefix="isolane-") as folder:
        sandbox = _sandbox(settings, Path(folder) / "attempts.lock")
        catalog = Catalog(settings, sandbox)
        try:
            await sandbox.start()
            await catalog.load(patience_s=_PATIENCE_S)
            entries = {entry.file: entry for entry in catalog.entries.values()}
            found = dict[str, str]()
            for file in sorted(entries):
                found[file] = await sandbox.warm_up(entries[file].spec)
                sandbox.retire_zygotes(lambda _: False)
        except SandboxError as error:
            raise _unstartable(error) from error
        else:
            return found
        finally:
            await catalog.close()
            await sandbox.close()


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
    sandbox = _sandbox(settings, lock_file)
    engine = Engine(settings, store, sandbox, lock_file.with_name("node"))
    try:
        try:
            await engine.start(periodic=periodic, patience_s=patience_s)
        except SandboxError as error:
            raise _unstartable(error) from error
        _require_level(settings, engine)
        yield engine
    finally:
        await engine.stop()


def _sandbox(settings: Settings, lock_file: Path) -> Sandbox:
    return Sandbox(
        lock_file=lock_file,
        level=None if settings.sandbox.level == "auto" else Level(settings.sandbox.level),
        packages=_PACKAGES,
        preload=_PRELOAD,
        keep_warm_s=settings.sandbox.keep_warm_s,
    )


def _unstartable(error: SandboxError) -> ConfigError:
    return ConfigError(f"the sandbox cannot be started on this host: {error}")


def _require_level(settings: Settings, engine: Engine) -> None:
    order = list(Level)
    have, required = engine.sandbox.level, settings.sandbox.require
    if required is not None and order.index(have) > order.index(Level(required)):
        raise ConfigError(
            f"sandbox.require is {required!r}, but this host allows only {have.value!r} ({engine.sandbox.walls})"
        )


async def _until_idle(engine: Engine) -> None:
    """Return when nothing runs and nothing is due."""
    ended = asyncio.Event()
    unlisten = engine.store.listen(lambda notice: ended.set() if notice.ended else None)
    try:
        while True:
            ended.clear()
            counts = await engine.store.count(APP)
            if not any(counts.get(status, 0) for status in (Status.QUEUED, Status.RUNNING, Status.RETRYING)):
                return
            await ended.wait()
    finally:
        unlisten()


async def _print_logs(engine: Engine, on_log: Callable[[Document, LogLine], None]) -> None:
    """Give every line of every run to `on_log`; cancelled, it gives what is left first."""
    store, cursors = engine.store, dict[str, int]()
    grown: asyncio.Queue[str] = asyncio.Queue()

    def on_notice(notice: Notice) -> None:
        for run in notice.logged:
            grown.put_nowait(run)

    async def give(run: str) -> None:
        document = await engine.operations.show(APP, run)
        while (page := await store.logs(APP, run, cursors.get(run, 0))).lines:
            for line in page.lines:
                on_log(document, line)
            cursors[run] = page.cursor

    unlisten = store.listen(on_notice)
    try:
        while True:
            await give(await grown.get())
    finally:
        unlisten()
        for run in (await store.list(RunFilter(app=APP, limit=1000))).items:
            await give(run.run.id)


def _state_folder(settings: Settings) -> Path:
    state = settings.project / ".isolane"
    try:
        state.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreUnavailableError(f"cannot make {state}: {error.strerror}; isolane keeps its state there") from error
    status, me = state.stat(), os.geteuid()
    if status.st_uid != me:
        raise StoreUnavailableError(
            f"{state} belongs to another user (uid {status.st_uid}), who could exchange what lies in it: start "
            f"isolane as that user, or give it to this one with chown -R {me} {state}"
        )
    if status.st_mode & 0o022:
        raise StoreUnavailableError(f"others may write {state}, and exchange what lies in it: chmod go-w {state}")
    return state


def _local_token(state: Path) -> str:
    """The token with which the local command line calls; made once, readable by this user only."""
    path = state / "token"
    try:
        token = path.read_text().strip()
    except FileNotFoundError:
        token = ""
    if not token:
        token = f"isolane_{secrets.token_urlsafe(32)}"
        _write_private(path, token + "\n")
    return token


def _write_private(path: Path, text: str) -> None:
    """Write a 0600 file, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.rename(path)


def _greet(url: str, engine: Engine, say: Say) -> None:
    catalog = engine.catalog
    names = ", ".join(sorted(key.task for key in catalog.entries)) or "none yet"
    say(f"isolane serves {url}")
    level, _, walls = engine.sandbox.walls.partition(": ")
    say(f"  sandbox: {level} ({walls.count(',') + 1} walls; `isolane doctor` names them)")
    say(f"  tasks:   {names}")
    for problem in catalog.problems.values():
        first = problem.error.message.strip().split("\n")[0]
        say(escaped(f"  problem: {problem.file}: {problem.error.type}: {first}"), err=True)
    example = min((key.task for key in catalog.entries), key=len, default="TASK")
    say("Try, in another terminal in this folder:")
    if shutil.which("isolane") is None:
        say(f"  . {os.path.relpath(Path(sys.prefix) / 'bin' / 'activate')}")
    say(f"  isolane schedule {example} --wait\n  isolane runs list")
