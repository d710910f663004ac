"""What can be asked of a node: the one set of calls behind HTTP and the command line.

Ids, names and requests are hostile input and are checked here. Answers are documents, ready for JSON; what `value`
makes of the JSON that is stored with a run stands in its document. What takes long is done in steps (`sandbox.Share`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from runner.catalog import Catalog
from runner.domain.documents import Document, queue_document
from runner.domain.names import check_queue
from runner.domain.options.run_filter import RunFilter
from runner.domain.run import LogLine
from runner.domain.status import Status
from runner.engine.api.enqueueing import Enqueueing
from runner.engine.api.node_documents import find_node, node_document
from runner.engine.api.presenter import Presenter, Value
from runner.engine.api.readiness import Readiness
from runner.engine.api.submission import Submission
from runner.engine.api.task_documents import problem_document, task_document
from runner.engine.api.waiters import Waiters
from runner.engine.nodes.node import Node
from runner.errors import ConflictError, StoreFullError, UnknownTaskError
from runner.store.contract import Store
from runner.store.records import LogPage, Notice
from sandbox import Share

#: How long a follower of a log waits, at most, before it looks again although nobody told it to.
_LOOK_AGAIN_S = 5.0
_RELOAD_S = 5.0


class Operations:
    """The calls of one node; each acts for one app and sees nothing of another."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        node: Node,
        *,
        submission: Submission,
        enqueueing: Enqueueing,
        presenter: Presenter,
        waiters: Waiters,
        readiness: Readiness,
        reload: Callable[[], Awaitable[None]],
        wake: Callable[[], None],
    ) -> None:
        """`reload` takes the tasks folder as it is now into use; `wake` looks whether there is something to start."""
        self._store, self._catalog, self._node = store, catalog, node
        self._submission, self._enqueueing, self._presenter = submission, enqueueing, presenter
        self._waiters, self._readiness, self._reload, self._wake = waiters, readiness, reload, wake

    async def ready(self) -> tuple[bool, str]:
        """Whether this node can work, and what it says of itself."""
        return await self._readiness.check()

    async def authenticate(self, digest: bytes) -> str | None:
        """The app that a token acts for, by the SHA-256 digest of the token."""
        return await self._store.token_app(digest)

    # --- runs ---------------------------------------------------------------------------------------------------

    async def schedule(self, app: str, requests: Sequence[object], *, value: Value = json.loads) -> list[Document]:
        """Schedule runs from outside, all or none; durable when it returns."""
        share = Share()
        try:
            prepared = await share.go_through(self._submission.preparing(app, requests))
        except UnknownTaskError:
            # Somebody saved a file and schedules its task at once: faster than the watch over the folder. A file that
            # hangs while it is imported keeps nobody waiting for long.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._reload(), _RELOAD_S)
            prepared = await share.go_through(self._submission.preparing(app, requests))
        try:
            details = await self._enqueueing.enqueue([run for run, _ in prepared], share)
        except StoreFullError as error:
            self._readiness.store_was_full(error)
            raise
        self._readiness.store_had_room()
        return await self._presenter.documents(details, value)

    async def show(self, app: str, run: str, *, value: Value = json.loads) -> Document:
        """One run as it stands."""
        return await self._presenter.document(await self._store.get(app, run), value)

    async def wait(self, app: str, run: str, timeout_s: float | None, *, value: Value = json.loads) -> Document:
        """One run when it is final, or as it stands after the time."""
        return await self._presenter.document(await self._waiters.wait(app, run, timeout_s), value)

    async def list_runs(self, wanted: RunFilter, *, value: Value = json.loads) -> Document:
        """One page of runs, newest first."""
        page = await self._store.list(wanted)
        return {"items": await self._presenter.documents(page.items, value), "next_cursor": page.next_cursor}

    async def count_runs(self, app: str) -> dict[str, int]:
        """How many runs there are, by status."""
        counted = await self._store.count(app)
        return {status.value: counted.get(status, 0) for status in Status}

    async def cancel(self, app: str, run: str, *, value: Value = json.loads) -> Document:
        """Cancel a run; a final one stays what it is."""
        await self._store.cancel(app, run, self._store.now())
        return await self.show(app, run, value=value)

    async def retry(self, app: str, run: str, *, force: bool = False, value: Value = json.loads) -> Document:
        """Run the same again: a new run with the old one's task, parameters, queue and tags.

        Raises:
            ConflictError: it succeeded, and what it did would be done twice; unless `force`.
            InvalidOptionError: by now the config does not allow what was asked for then.
        """
        old = await self._store.get(app, run)
        if old.run.status is Status.SUCCEEDED and not force:
            raise ConflictError(f"run {run} succeeded: to do it a second time all the same, say force (--force)")
        [new] = await self._enqueueing.enqueue([self._submission.replay(old)], Share())
        return await self._presenter.document(new, value)

    async def delete(self, app: str, run: str) -> None:
        """Delete a run that is not running."""
        await self._store.delete(app, run)

    # --- logs ---------------------------------------------------------------------------------------------------

    async def logs(self, app: str, run: str, after: int, limit: int) -> LogPage:
        """Lines of a run's log after a cursor."""
        await self._store.get(app, run)
        return await self._store.logs(app, run, after, limit)

    async def follow(self, app: str, run: str, after: int) -> AsyncGenerator[LogLine, None]:
        """Lines as they come, until the run is final and all were given."""
        news = asyncio.Event()

        def on_notice(notice: Notice) -> None:
            if run in notice.logged or any(ended.id == run for ended in notice.ended):
                news.set()

        unlisten = self._store.listen(on_notice)
        try:
            while True:
                news.clear()
                # The status first: lines are written before the end is, so none can come after a final status.
                is_final = (await self._store.get(app, run)).run.status.is_final
                page = await self._store.logs(app, run, after)
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
        page = await self._store.queues(app, cursor, limit)
        return {"items": [queue_document(queue) for queue in page.items], "next_cursor": page.next_cursor}

    async def show_queue(self, app: str, queue: str) -> Document:
        """One queue, with who holds it since when."""
        return queue_document(await self._store.queue(app, check_queue(queue)))

    async def pause_queue(self, app: str, queue: str) -> Document:
        """Start no more of its runs until it is resumed."""
        return queue_document(await self._store.pause(app, check_queue(queue), self._store.now()))

    async def resume_queue(self, app: str, queue: str) -> Document:
        """Take back a pause."""
        return queue_document(await self._store.resume(app, check_queue(queue)))

    async def purge_queue(self, app: str, queue: str) -> Document:
        """Cancel what waits in it."""
        return {"cancelled": await self._store.purge(app, check_queue(queue), self._store.now())}

    async def release_queue(self, app: str, queue: str) -> Document:
        """Give free what retrying runs hold of it."""
        return {"released": await self._store.release(app, check_queue(queue))}

    # --- nodes --------------------------------------------------------------------------------------------------

    async def list_nodes(self) -> Document:
        """The nodes that share the store, dead ones too until they are pruned. They serve all apps."""
        states = await self._store.nodes()
        now = self._store.now()
        return {"items": [node_document(state, now) for state in states], "next_cursor": None}

    async def drain_node(self, name: str, *, draining: bool = True) -> Document:
        """Ask a node to start nothing more, or to go on; what runs there goes on either way.

        It is named by its name (all of that name), its id or a beginning that no other node's name or id has.
        """
        wanted = find_node(await self._store.nodes(), name)
        asked = await self._store.drain_node(wanted, draining=draining)
        node = self._node
        if wanted in (node.name, node.identity.id):  # others see it when they next look
            node.ask_to_drain(draining=draining)
            self._wake()
        return {"draining" if draining else "undrained": asked, "node": wanted}

    # --- tasks --------------------------------------------------------------------------------------------------

    async def list_tasks(self, app: str) -> Document:
        """The tasks, and what is wrong in the tasks folder."""
        entries = sorted(self._catalog.entries.values(), key=lambda entry: entry.name)
        return {
            "items": [task_document(entry) for entry in entries if entry.app == app],
            "next_cursor": None,
            "problems": [problem_document(problem) for problem in self._catalog.problems.values()],
        }

    async def show_task(self, app: str, name: str) -> Document:
        """One task with its options and its schema."""
        return task_document(self._catalog.find(app, name))
