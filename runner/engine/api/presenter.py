"""Shows runs to people and programs: the document of a run, with the true reason why it waits."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from runner.catalog import Catalog
from runner.domain.documents import Document, run_document
from runner.domain.run import NewRun, QueueState, Run, RunDetail
from runner.domain.status import Status
from runner.domain.why import NodeView, explain
from runner.engine.nodes.capacity import Capacity
from runner.engine.nodes.node import Node
from runner.store.contract import Store
from runner.store.records import TaskKey
from sandbox import JsonText, Share
from sandbox.protocol.wire import text_of

#: Longer JSON goes into a frame as it was stored: to take it apart and write it again would take long.
_EMBEDDED_CHARS = 16 << 10
_STEP_DOCUMENTS = 50

#: From JSON that was stored to what stands for it in a document.
Value = Callable[[str], Any]


class Presenter:
    """Makes documents from stored runs."""

    def __init__(self, store: Store, catalog: Catalog, capacity: Capacity, node: Node) -> None:
        self._store, self._catalog, self._capacity, self._node = store, catalog, capacity, node

    async def document(self, detail: RunDetail, value: Value = json.loads) -> Document:
        """The document of one run; `value` makes something of the JSON that was stored."""
        return (await self.documents([detail], value))[0]

    async def documents(self, details: Sequence[RunDetail], value: Value = json.loads) -> list[Document]:
        """The documents of several runs of one app, in order."""
        queues, views = await self._surroundings(details)

        def make() -> Generator[None, None, list[Document]]:
            documents = []
            for number, detail in enumerate(details):
                if number % _STEP_DOCUMENTS == _STEP_DOCUMENTS - 1:
                    yield
                documents.append(self._document(detail, queues, views, value))
            return documents

        return await Share().go_through(make())

    async def _surroundings(
        self, details: Sequence[RunDetail]
    ) -> tuple[Mapping[str, QueueState], Mapping[str, NodeView]]:
        """What a run may wait for: the queues that they stand in, and the node as their tasks see it."""
        names = {name for detail in details if (name := _waits_in(detail.run)) is not None}
        queues = await self._store.named_queues(details[0].run.app, names) if names else {}
        tasks = {TaskKey(detail.run.app, detail.run.task) for detail in details}
        return queues, {key.task: self._node_view(key) for key in tasks}

    async def written(self, details: Sequence[RunDetail], share: Share) -> list[JsonText]:
        """The same for a frame, within the share of the event loop of whoever asked."""
        queues, views = await self._surroundings(details)

        def write() -> Generator[None, None, list[JsonText]]:
            written = []
            for number, detail in enumerate(details):
                written.append(JsonText(text_of(self._document(detail, queues, views, embedded))))
                if number % _STEP_DOCUMENTS == _STEP_DOCUMENTS - 1:
                    yield
            return written

        return await share.go_through(write())

    def _document(
        self,
        detail: RunDetail,
        queues: Mapping[str, QueueState],
        views: Mapping[str, NodeView],
        value: Value,
    ) -> Document:
        queue = queues.get(_waits_in(detail.run) or "")
        return run_document(detail, explain(detail.run, queue, views[detail.run.task], self._store.now()), value)

    def _node_view(self, task: TaskKey) -> NodeView:
        capacity = self._capacity
        entry = self._catalog.entries.get(task)
        problem = self._catalog.problems.get(task.task)
        return NodeView(
            need_bytes=None if entry is None else entry.options.memory_bytes,
            memory_bytes=capacity.memory_bytes,
            memory_free_bytes=capacity.memory_free_bytes,
            slots=capacity.slots,
            slots_free=capacity.slots_free,
            draining=self._node.draining,
            stopping=self._node.stopping,
            problem=None if problem is None else problem.error.message.strip().split("\n")[0][:500],
        )


def _waits_in(run: Run) -> str | None:
    """The queue that may keep a run waiting."""
    return None if run.status.is_final or run.status is Status.RUNNING else run.queue


def embedded(text: str) -> Any:
    """Stored JSON as a value of a frame."""
    return JsonText(text) if len(text) > _EMBEDDED_CHARS else json.loads(text)


def unstored(new: NewRun) -> RunDetail:
    """A run as it will be stored with its parent's success."""
    run = dataclasses.replace(new.stored(), status=Status.SCHEDULED)
    return RunDetail(run=run, parameters=new.parameters, result=None, error=None, attempts=())
