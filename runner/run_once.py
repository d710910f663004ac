"""`isolane run`: one run here and now, in a throwaway store, with all that it schedules and that is due."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from runner.app import running_engine
from runner.catalog import START_PATIENCE_S
from runner.catalog.entries import APP
from runner.config import Settings
from runner.domain.documents import Document
from runner.domain.options.run_filter import RunFilter
from runner.domain.run import LogLine
from runner.domain.status import Status
from runner.engine.engine import Engine
from runner.store.records import Notice
from runner.uuid7 import uuid7


async def run_once(
    settings: Settings, task: str, parameters: object, on_log: Callable[[Document, LogLine], None]
) -> Document:
    """Run one task; the document of its run.

    `on_log` gets each line of each run as it comes, with the document of its run.
    """
    with tempfile.TemporaryDirectory(prefix="isolane-") as folder:
        async with running_engine(
            settings,
            f"sqlite:{folder}/isolane.db",
            Path(folder) / "attempts.lock",
            periodic=False,
            patience_s=START_PATIENCE_S,
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
