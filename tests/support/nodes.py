"""A node in the test's own process: the real engine, store and sandbox, without HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from runner.app import APP, running_engine
from runner.engine.engine import Engine
from runner.uuid7 import uuid7
from support.projects import settings_of

Document = dict[str, Any]


class Node:
    """What a test asks of a node."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.operations = engine.operations
        self.store = engine.store

    async def schedule(self, task: str, parameters: object = None, **options: object) -> Document:
        """Schedule one run."""
        request = {"id": uuid7(), "task": task, "parameters": {} if parameters is None else parameters, **options}
        [run] = await self.operations.schedule(APP, [request])
        return run

    async def run(self, task: str, parameters: object = None, *, within_s: float = 60, **options: object) -> Document:
        """Schedule one run and wait until it is final."""
        run = await self.schedule(task, parameters, **options)
        return await self.ended(run["id"], within_s=within_s)

    async def ended(self, run: str, *, within_s: float = 60) -> Document:
        """The run when it is final."""
        document = await self.operations.wait(APP, run, within_s)
        assert document["finished_at"] is not None, f"not final within {within_s} s: {document}"
        return document

    async def log(self, run: str) -> list[str]:
        """The lines of a run's log."""
        page = await self.store.logs(APP, run)
        return [line.text for line in page.lines]


@contextlib.asynccontextmanager
async def running_node(project: Path, *, periodic: bool = False) -> AsyncIterator[Node]:
    """A node that works in `project`, drained at the end; on the store that its config names."""
    settings = settings_of(project)
    state = project / ".isolane"
    state.mkdir(exist_ok=True)
    async with running_engine(settings, settings.runner.store, state / "attempts.lock", periodic=periodic) as engine:
        yield Node(engine)
