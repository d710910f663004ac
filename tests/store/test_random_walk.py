"""Random operations in random order: after each, the store's books agree with its runs."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runner.domain.options.queue_rule import QueueRule
from runner.domain.run import Claim
from runner.domain.status import Status
from runner.errors import ConflictError
from runner.store.records import TaskKey
from support.stores import SECOND, PostgresBackend, SqliteBackend, desk_at, new_run

RULES = {
    "one": QueueRule(),
    "strict": QueueRule(order="strict"),
    "two": QueueRule(concurrency=2),
    "slow": QueueRule(concurrency=2, rate="20/m"),
}
QUEUES = [None, *RULES]
queues = st.sampled_from(QUEUES)
named_queues = st.sampled_from(sorted(RULES))
tasks = st.sampled_from("abc")


class Walk(RuleBasedStateMachine):
    Backend: type[SqliteBackend | PostgresBackend]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.backend = self.Backend(Path(self.folder.name))
        self.live: list[Claim] = []
        self.ids: list[str] = []

    def do(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(call)

    async def opened(self):
        store = self.backend.store(RULES)
        await store.open()
        return await desk_at(store)

    @initialize()
    def open(self) -> None:
        self.desk = self.do(self.opened())

    def teardown(self) -> None:
        self.do(self.desk.store.close())
        self.do(self.loop.shutdown_default_executor())
        self.loop.close()
        self.backend.remove()
        self.folder.cleanup()

    @rule(
        queue=queues,
        task=tasks,
        priority=st.integers(-1, 1),
        later=st.integers(0, 4),
        expires=st.sampled_from([None, 2, 6]),
    )
    def enqueue(self, queue, task, priority, later, expires) -> None:
        now = self.desk.now
        run = self.do(
            self.desk.enqueue(
                queue=queue,
                task=task,
                priority=priority,
                due_at=now + later * SECOND,
                expires_at=expires and now + expires * SECOND,
            )
        )
        self.ids.append(run.id)

    @rule(slots=st.integers(1, 4), memory=st.sampled_from([50, 150, 1000]))
    def claim(self, slots, memory) -> None:
        self.live += self.do(self.desk.claim(slots, memory=memory))

    @precondition(lambda self: self.live)
    @rule(
        place=st.integers(0, 99),
        status=st.sampled_from(["succeeded", "failed", "retrying", "queued"]),
        due=st.integers(0, 3),
    )
    def finish(self, place, status, due) -> None:
        claim = self.live.pop(place % len(self.live))
        children = [new_run(task="a", queue="one", parent=claim.run.id)] if status == "succeeded" and due == 0 else []
        self.do(self.desk.end(claim, Status(status), due_in_s=due, children=children))

    @precondition(lambda self: self.live)
    @rule(place=st.integers(0, 99), status=st.sampled_from(["succeeded", "retrying"]), slots=st.integers(1, 2))
    def finish_and_claim(self, place, status, slots) -> None:
        claim = self.live.pop(place % len(self.live))
        ended, following = self.do(self.desk.end_and_claim(claim, Status(status), slots))
        assert ended.id == claim.run.id
        assert len(following) <= slots
        self.live += following

    @rule(seconds=st.integers(1, 5))
    def pass_time(self, seconds) -> None:
        self.desk.pass_s(seconds)

    @precondition(lambda self: self.ids)
    @rule(place=st.integers(0, 99))
    def cancel(self, place) -> None:
        self.do(self.desk.store.cancel("main", self.ids[place % len(self.ids)], self.desk.now))

    @precondition(lambda self: self.ids)
    @rule(place=st.integers(0, 99))
    def delete(self, place) -> None:
        run = self.ids[place % len(self.ids)]
        try:
            self.do(self.desk.store.delete("main", run))
        except ConflictError:
            assert run in {claim.run.id for claim in self.live}
        else:
            self.ids.remove(run)

    @rule(queue=named_queues)
    def pause(self, queue) -> None:
        self.do(self.desk.store.pause("main", queue, self.desk.now))

    @rule(queue=named_queues)
    def resume(self, queue) -> None:
        self.do(self.desk.store.resume("main", queue))

    @rule(queue=named_queues)
    def purge(self, queue) -> None:
        self.do(self.desk.store.purge("main", queue, self.desk.now))

    @rule(queue=named_queues)
    def release(self, queue) -> None:
        try:
            self.do(self.desk.store.release("main", queue))
        except ConflictError:
            assert queue in {claim.run.queue for claim in self.live}

    @rule(known=st.sets(tasks))
    def announce(self, known) -> None:
        self.desk.needs = {TaskKey("main", task): 100 for task in known}
        self.do(self.desk.store.announce(self.desk.needs))

    @rule()
    def reopen(self) -> None:
        needs, now = self.desk.needs, self.desk.now
        self.do(self.desk.store.close())
        self.desk = self.do(self.opened())
        self.desk.needs, self.desk.now = needs, now
        self.do(self.desk.store.announce(needs))
        self.live = self.do(self.desk.store.orphans())

    @invariant()
    def no_queue_runs_more_at_once_than_it_may(self) -> None:
        for queue, rule_of_queue in RULES.items():
            assert sum(claim.run.queue == queue for claim in self.live) <= rule_of_queue.concurrency
        assert (
            self.backend.sql(
                "SELECT id FROM runs WHERE queue <> '' AND (status = 'running') <> EXISTS"
                " (SELECT 1 FROM holders WHERE run = seq) AND status <> 'retrying'"
            )
            == []
        )

    @invariant()
    def what_is_live_is_what_was_claimed(self) -> None:
        found = self.backend.sql("SELECT token FROM attempts JOIN runs ON seq = run WHERE attempts.finished_at IS NULL")
        running = self.backend.sql("SELECT count(*) FROM runs WHERE status = 'running'")
        assert {token for (token,) in found} == {claim.token for claim in self.live}
        assert running == [(len(self.live),)]

    @invariant()
    def lanes_and_totals_equal_a_recount(self) -> None:
        counted = self.backend.sql(
            "SELECT app, queue, task, sum(ready), sum(1 - ready) FROM runs WHERE ready IS NOT NULL"
            f" AND {self.backend.LANES_COUNTED} GROUP BY app, queue, task ORDER BY 1, 2, 3"
        )
        assert counted == self.backend.sql(
            f"SELECT app, queue, task, ready, later FROM lanes WHERE {self.backend.LANES_COUNTED} ORDER BY 1, 2, 3"
        )
        assert (
            self.backend.sql(
                "SELECT seq FROM runs WHERE ready = 1 AND NOT EXISTS (SELECT 1 FROM lanes WHERE lanes.app = runs.app"
                " AND lanes.queue = runs.queue AND lanes.task = runs.task AND lanes.ready > 0)"
            )
            == []
        )
        assert self.backend.sql(
            "SELECT status, sum(runs) FROM totals GROUP BY status HAVING sum(runs) > 0 ORDER BY 1"
        ) == self.backend.sql("SELECT status, count(*) FROM runs GROUP BY status ORDER BY 1")

    @invariant()
    def a_lane_is_open_exactly_where_its_run_goes_next(self) -> None:
        for app, queue, task, is_open in self.backend.sql("SELECT app, queue, task, open FROM lanes"):
            assert bool(is_open) == (queue == "" or self._next_task(app, queue) == task), (queue, task)

    def _next_task(self, app: str, queue: str) -> str | None:
        """By the plainest reading of the rules, run by run."""
        ((strict, concurrency, shut),) = self.backend.sql(
            "SELECT strict, concurrency, paused_at IS NOT NULL OR opens_at IS NOT NULL FROM queues"
            " WHERE app = ? AND name = ?",
            (app, queue),
        )
        held = [run for (run,) in self.backend.sql("SELECT run FROM holders WHERE app = ? AND queue = ?", (app, queue))]
        known = {key.task for key in self.desk.needs}
        waiting = self.backend.sql(
            "SELECT seq, task FROM runs WHERE app = ? AND queue = ? AND ready = 1 ORDER BY priority DESC, seq",
            (app, queue),
        )
        if shut:
            return None
        if strict:
            candidates = [(seq, task) for seq, task in waiting if not held or seq in held]
        else:
            candidates = [(seq, task) for seq, task in waiting if task in known and len(held) < concurrency]
        return candidates[0][1] if candidates else None

    @invariant()
    def queues_that_are_done_leave_nothing(self) -> None:
        assert (
            self.backend.sql(
                "SELECT name FROM queues WHERE paused_at IS NULL AND opens_at IS NULL"
                " AND NOT EXISTS (SELECT 1 FROM holders WHERE queue = name)"
                " AND NOT EXISTS (SELECT 1 FROM lanes WHERE queue = name)"
            )
            == []
        )


class SqliteWalk(Walk):
    Backend = SqliteBackend


class PostgresWalk(Walk):
    Backend = PostgresBackend


TestSqliteWalk, TestPostgresWalk = SqliteWalk.TestCase, PostgresWalk.TestCase
TestSqliteWalk.settings = TestPostgresWalk.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
