"""Whole runs through an engine that is idle, as `sandbox_speed` measures them: claim, attempt, recorded response."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from runner.store.contract import Notice
from support.nodes import Node, running_node
from support.projects import write_project

TASK = """
import time

def run(parameters):
    return time.time()
"""
CONFIG = """
[runner]
memory = "2GB"
[defaults]
memory = "256MB"
"""


class WholeRuns:
    """A node that has nothing else to do."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ended: dict[str, int] = {}
        self._noticed = asyncio.Event()
        node.store.listen(self._on_notice)

    def _on_notice(self, notice: Notice) -> None:
        for run in notice.ended:
            self._ended[run.id] = self._node.store.now()
            self._noticed.set()

    async def run(self) -> tuple[float, float]:
        """Seconds from `schedule` to the task's first line, and from the claim to the recorded response."""
        begin = time.time()
        run = (await self._node.schedule("trivial"))["id"]
        while run not in self._ended:
            self._noticed.clear()
            await self._noticed.wait()
        document = await self._node.operations.show("main", run)
        assert document["status"] == "succeeded", document
        detail = await self._node.store.get("main", run)
        return document["result"] - begin, (self._ended.pop(run) - detail.attempts[0].started_at) / 1e6

    async def commit(self) -> float:
        """Seconds of one durable commit: of a run that is not due for long."""
        begin = time.perf_counter()
        await self._node.schedule("trivial", after="30d")
        return time.perf_counter() - begin


@contextlib.asynccontextmanager
async def whole_runs(folder: Path) -> AsyncIterator[WholeRuns]:
    """A node whose project and store are in this folder."""
    async with running_node(write_project(folder, {"trivial.py": TASK}, CONFIG)) as node:
        yield WholeRuns(node)
