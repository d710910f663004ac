"""Shows runs to people and programs: the document of a run, with the true reason why it waits."""

from __future__ import annotations

from collections.abc import Iterable

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
        run = detail.run
        queue = None
        if run.queue is not None and not run.status.is_final and run.status is not Status.RUNNING:
            queue = await self._parts.store.queue(run.app, run.queue)
        return run_document(detail, explain(run, queue, self._node_view(run), self._parts.now()))

    async def documents(self, details: Iterable[RunDetail]) -> list[Document]:
        """The documents of several runs, in order."""
        return [await self.document(detail) for detail in details]

    def _node_view(self, run: Run) -> NodeView:
        capacity = self._parts.capacity
        entry = self._parts.catalog.entries.get(TaskKey(run.app, run.task))
        problem = self._parts.catalog.problems.get(run.task)
        return NodeView(
            need_bytes=None if entry is None else entry.options.memory_bytes,
            memory_bytes=capacity.memory_bytes,
            memory_free_bytes=capacity.memory_free_bytes,
            slots=capacity.slots,
            slots_free=capacity.slots_free,
            draining=self._parts.node.draining,
            problem=None if problem is None else problem.error.message.strip().split("\n")[0][:500],
        )


def unstored(new: NewRun) -> RunDetail:
    """A run as it will be stored with its parent's success."""
    run = Run(
        app=new.app,
        id=new.id,
        task=new.task,
        queue=new.queue,
        status=Status.SCHEDULED,
        reason=None,
        why=None,
        priority=new.priority,
        tags=new.tags,
        idempotency_key=new.idempotency_key,
        parent=new.parent,
        replay_of=new.replay_of,
        schedule=new.schedule,
        retry=new.retry,
        timeout_s=new.timeout_s,
        attempt_count=0,
        failures=0,
        losses=0,
        created_at=new.created_at,
        due_at=new.due_at,
        expires_at=new.expires_at,
        started_at=None,
        finished_at=None,
        cancel_requested_at=None,
    )
    return RunDetail(run=run, parameters=new.parameters, result=None, error=None, attempts=())
