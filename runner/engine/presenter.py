"""Shows runs to people and programs: the document of a run, with the true reason why it waits."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from runner.domain.documents import Document, run_document
from runner.domain.run import NewRun, Run, RunDetail
from runner.domain.status import Status
from runner.domain.why import NodeView, explain
from runner.engine.parts import Parts
from runner.store.records import TaskKey


class Presenter:
    """Makes documents from stored runs."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def document(self, detail: RunDetail) -> Document:
        """The document of one run."""
        return (await self.documents([detail]))[0]

    async def documents(self, details: Sequence[RunDetail]) -> list[Document]:
        """The documents of several runs of one app, in order."""
        names = {name for detail in details if (name := _waits_in(detail.run)) is not None}
        queues = await self._parts.store.named_queues(details[0].run.app, names) if names else {}
        tasks = {TaskKey(detail.run.app, detail.run.task) for detail in details}
        views = {key.task: self._node_view(key) for key in tasks}
        now = self._parts.now()
        return [
            run_document(
                detail, explain(detail.run, queues.get(_waits_in(detail.run) or ""), views[detail.run.task], now)
            )
            for detail in details
        ]

    def _node_view(self, task: TaskKey) -> NodeView:
        capacity = self._parts.capacity
        entry = self._parts.catalog.entries.get(task)
        problem = self._parts.catalog.problems.get(task.task)
        return NodeView(
            need_bytes=None if entry is None else entry.options.memory_bytes,
            memory_bytes=capacity.memory_bytes,
            memory_free_bytes=capacity.memory_free_bytes,
            slots=capacity.slots,
            slots_free=capacity.slots_free,
            draining=self._parts.node.draining,
            stopping=self._parts.node.stopping,
            problem=None if problem is None else problem.error.message.strip().split("\n")[0][:500],
        )


def _waits_in(run: Run) -> str | None:
    """The queue that may keep a run waiting."""
    return None if run.status.is_final or run.status is Status.RUNNING else run.queue


def unstored(new: NewRun) -> RunDetail:
    """A run as it will be stored with its parent's success."""
    run = dataclasses.replace(new.stored(), status=Status.SCHEDULED)
    return RunDetail(run=run, parameters=new.parameters, result=None, error=None, attempts=())
