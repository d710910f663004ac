"""What can be asked of a node: the one set of calls behind HTTP and the command line.

Ids, names and requests are hostile input and are checked here. Answers are documents, ready for JSON; what `value`
makes of the JSON that is stored with a run stands in its document. What takes long is done in steps (`sandbox.Share`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

from runner.catalog import TaskEntry
from runner.domain.documents import Document, queue_document
from runner.domain.names import check_queue
from runner.domain.options.run_filter import RunFilter
from runner.domain.run import LogLine, NewRun
from runner.domain.status import Status
from runner.engine.api.node_documents import find_node, node_document
from runner.engine.api.presenter import Presenter, Value
from runner.engine.api.store_outages import patiently
from runner.engine.attempts.task_calls import stored_detail
from runner.engine.parts import Parts
from runner.errors import ConflictError, StoreError, StoreFullError, UnknownTaskError
from runner.store.records import LogPage, Notice
from runner.uuid7 import uuid7
from sandbox import Share

#: How long a follower of a log waits, at most, before it looks again although nobody told it to.
_LOOK_AGAIN_S = 5.0
_RELOAD_S = 5.0
_READY_S = 2.0
#: How long a node is not ready after its store had no room for a run; then callers may try again.
_FULL_S = 10.0


class Operations:
    """The calls of one node; each acts for one app and sees nothing of another."""

    def __init__(
        self, parts: Parts, presenter: Presenter, reload: Callable[[], Awaitable[None]], wake: Callable[[], None]
    ) -> None:
        """`reload` takes the tasks folder as it is now into use; `wake` looks whether there is something to start."""
        self._parts, self._presenter, self._reload, self._wake = parts, presenter, reload, wake
        self.is_ready = False
        self._full: tuple[float, StoreFullError] | None = None  # since when the store had no room for new runs

    async def ready(self) -> tuple[bool, str]:
        """Whether this node can work, and what it says of itself."""
        if self._parts.node.stopping:
            return False, "the node is draining: it takes calls, starts no attempts, and is about to end"
        if not self.is_ready:
            return False, "the node is starting"
        if not self._parts.node.is_member:
            return False, "the node lost its lease and has not been taken in again: it cannot reach the store"
        try:
            async with asyncio.timeout(_READY_S):
                await self._parts.store.token_app(b"")  # any question will do
        except (StoreError, TimeoutError) as error:
            return False, f"the store does not answer: {error or 'it takes too long'}"
        if self._full is not None and asyncio.get_running_loop().time() < self._full[0] + _FULL_S:
            return False, f"the store takes no new runs: {self._full[1]}"
        return True, f"sandbox {self._parts.sandbox.walls}"

    async def authenticate(self, digest: bytes) -> str | None:
        """The app that a token acts for, by the SHA-256 digest of the token."""
        return await self._parts.store.token_app(digest)

    # --- runs ---------------------------------------------------------------------------------------------------

    async def schedule(self, app: str, requests: Sequence[object], *, value: Value = json.loads) -> list[Document]:
        """Schedule runs from outside, all or none; durable when it returns."""
        share = Share()
        try:
            prepared = await share.go_through(self._parts.submission.preparing(app, requests))
        except UnknownTaskError:
            # Somebody saved a file and schedules its task at once: faster than the watch over the folder. A file that
            # hangs while it is imported keeps nobody waiting for long.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._reload(), _RELOAD_S)
            prepared = await share.go_through(self._parts.submission.preparing(app, requests))
        new = [run for run, _ in prepared]
        try:
            stored = await patiently(self._parts, lambda: self._parts.store.enqueue(new))
        except StoreFullError as error:
            self._full = (asyncio.get_running_loop().time(), error)
            raise
        self._full = None
        details = []
        for pair in zip(new, stored, strict=True):
            await share.rest()
            with share:
                details.append(await stored_detail(self._parts, *pair))
        return await self._presenter.documents(details, value)

    async def show(self, app: str, run: str, *, value: Value = json.loads) -> Document:
        """One run as it stands."""
        return await self._presenter.document(await self._parts.store.get(app, run), value)

    async def wait(self, app: str, run: str, timeout_s: float | None, *, value: Value = json.loads) -> Document:
        """One run when it is final, or as it stands after the time."""
        return await self._presenter.document(await self._parts.waiters.wait(app, run, timeout_s), value)

    async def list_runs(self, wanted: RunFilter, *, value: Value = json.loads) -> Document:
        """One page of runs, newest first."""
        page = await self._parts.store.list(wanted)
        return {"items": await self._presenter.documents(page.items, value), "next_cursor": page.next_cursor}

    async def count_runs(self, app: str) -> dict[str, int]:
        """How many runs there are, by status."""
        counted = await self._parts.store.count(app)
        return {status.value: counted.get(status, 0) for status in Status}

    async def cancel(self, app: str, run: str, *, value: Value = json.loads) -> Document:
        """Cancel a run; a final one stays what it is."""
        await self._parts.store.cancel(app, run, self._parts.now())
        return await self.show(app, run, value=value)

    async def retry(self, app: str, run: str, *, force: bool = False, value: Value = json.loads) -> Document:
        """Run the same again: a new run with the old one's task, parameters, queue and tags.

        Raises:
            ConflictError: it succeeded, and what it did would be done twice; unless `force`.
            InvalidOptionError: by now the config does not allow what was asked for then.
        """
        old = await self._parts.store.get(app, run)
        if old.run.status is Status.SUCCEEDED and not force:
            raise ConflictError(f"run {run} succeeded: to do it a second time all the same, say force (--force)")
        self._parts.settings.bounds.check_run(old.run.task, old.run.queue, old.run.timeout_s)
        now = self._parts.now()
        new = NewRun(
            app=app,
            id=uuid7(),
            task=old.run.task,
            parameters=old.parameters,
            created_at=now,
            due_at=now,
            delay_us=0,
            queue=old.run.queue,
            priority=old.run.priority,
            tags=old.run.tags,
            replay_of=old.run.id,
            root=old.run.root or old.run.id,
            retry=old.run.retry,
            timeout_s=old.run.timeout_s,
        )
        [stored] = await self._parts.store.enqueue([new])
        return await self._presenter.document(await stored_detail(self._parts, new, stored), value)

    async def delete(self, app: str, run: str) -> None:
        """Delete a run that is not running."""
        await self._parts.store.delete(app, run)

    # --- logs ---------------------------------------------------------------------------------------------------

    async def logs(self, app: str, run: str, after: int, limit: int) -> LogPage:
        """Lines of a run's log after a cursor."""
        await self._parts.store.get(app, run)
        return await self._parts.store.logs(app, run, after, limit)

    async def follow(self, app: str, run: str, after: int) -> AsyncGenerator[LogLine, None]:
        """Lines as they come, until the run is final and all were given."""
        news = asyncio.Event()

        def on_notice(notice: Notice) -> None:
            if run in notice.logged or any(ended.id == run for ended in notice.ended):
                news.set()

        unlisten = self._parts.store.listen(on_notice)
        try:
            while True:
                news.clear()
                # The status first: lines are written before the end is, so none can come after a final status.
                is_final = (await self._parts.store.get(app, run)).run.status.is_final
                page = await self._parts.store.logs(app, run, after)
                for line in page.lines:
                    yield line
                after = page.cursor
                if not page.lines:
                    if is_final:
                        return
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(news.wait(), _LOOK_AGAIN_S)
        finally:
            unlisten()

    # --- queues -------------------------------------------------------------------------------------------------

    async def list_queues(self, app: str, cursor: str | None = None, limit: int = 100) -> Document:
        """Queues that hold, wait or are paused, by name."""
        page = await self._parts.store.queues(app, cursor, limit)
        return {"items": [queue_document(queue) for queue in page.items], "next_cursor": page.next_cursor}

    async def show_queue(self, app: str, queue: str) -> Document:
        """One queue, with who holds it since when."""
        return queue_document(await self._parts.store.queue(app, check_queue(queue)))

    async def pause_queue(self, app: str, queue: str) -> Document:
        """Start no more of its runs until it is resumed."""
        return queue_document(await self._parts.store.pause(app, check_queue(queue), self._parts.now()))

    async def resume_queue(self, app: str, queue: str) -> Document:
        """Take back a pause."""
        return queue_document(await self._parts.store.resume(app, check_queue(queue)))

    async def purge_queue(self, app: str, queue: str) -> Document:
        """Cancel what waits in it."""
        return {"cancelled": await self._parts.store.purge(app, check_queue(queue), self._parts.now())}

    async def release_queue(self, app: str, queue: str) -> Document:
        """Give free what retrying runs hold of it."""
        return {"released": await self._parts.store.release(app, check_queue(queue))}

    # --- nodes --------------------------------------------------------------------------------------------------

    async def list_nodes(self) -> Document:
        """The nodes that share the store, dead ones too until they are pruned. They serve all apps."""
        states = await self._parts.store.nodes()
        now = self._parts.now()
        return {"items": [node_document(state, now) for state in states], "next_cursor": None}

    async def drain_node(self, name: str, *, draining: bool = True) -> Document:
        """Ask a node to start nothing more, or to go on; what runs there goes on either way.

        It is named by its name (all of that name), its id or a beginning that no other node's name or id has.
        """
        wanted = find_node(await self._parts.store.nodes(), name)
        asked = await self._parts.store.drain_node(wanted, draining=draining)
        node = self._parts.node
        if wanted in (node.name, node.identity.id):  # others see it when they next look
            node.ask_to_drain(draining=draining)
            self._wake()
        return {"draining" if draining else "undrained": asked, "node": wanted}

    # --- tasks --------------------------------------------------------------------------------------------------

    async def list_tasks(self, app: str) -> Document:
        """The tasks, and what is wrong in the tasks folder."""
        entries = sorted(self._parts.catalog.entries.values(), key=lambda entry: entry.name)
        return {
            "items": [_task_document(entry) for entry in entries if entry.app == app],
            "next_cursor": None,
            "problems": [
                {
                    "module": problem.module,
                    "file": problem.file,
                    "error": {
                        "type": problem.error.type,
                        "message": problem.error.message,
                        "traceback": problem.error.traceback,
                    },
                    "kept": problem.kept,
                }
                for problem in self._parts.catalog.problems.values()
            ],
        }

    async def show_task(self, app: str, name: str) -> Document:
        """One task with its options and its schema."""
        return _task_document(self._parts.catalog.find(app, name))


def _task_document(entry: TaskEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "app": entry.app,
        "module": entry.module,
        "function": entry.function,
        "file": entry.file,
        "description": entry.description,
        "schema": entry.schema,
        "options": entry.options.document(),
        "code": entry.code,
    }
