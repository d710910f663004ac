from __future__ import annotations

import dataclasses

from runner.domain.options.queue_rule import QueueRule
from runner.domain.run import Holder, QueueState, Run
from runner.domain.status import Status
from runner.domain.why import NodeView, explain

MB, SECOND = 1 << 20, 1_000_000
NOW = 1_790_000_000 * SECOND
RUN = Run(
    app="main", id="run-1", task="greet", queue=None, status=Status.QUEUED, reason=None, why=None, priority=0, tags=(),
    idempotency_key=None, parent=None, scheduled_by=None, replay_of=None, root=None, schedule=None, retry=None,
    timeout_s=None, attempt_count=0, next_attempt_at=None,
    failures=0, losses=0, created_at=NOW, due_at=NOW, expires_at=None, started_at=None, finished_at=None,
    cancel_requested_at=None,
)  # fmt: skip
QUEUE = QueueState(
    app="main", name="mail", rule=QueueRule(), waiting=1, scheduled=0, paused_at=None,
    opens_at=None,
)  # fmt: skip
NODE = NodeView(need_bytes=10 * MB, memory_bytes=100 * MB, memory_free_bytes=100 * MB, slots=2, slots_free=2)


def why(run: Run = RUN, queue: QueueState | None = None, node: NodeView = NODE, **changes: object) -> str | None:
    return explain(dataclasses.replace(run, **changes), queue, node, NOW)


def test_a_scheduled_run_waits_for_its_time() -> None:
    assert why(status=Status.SCHEDULED, due_at=NOW + 90 * SECOND) == "is due at 2026-09-21T14:14:50Z, in 1m 30s"


def test_a_retrying_run_says_what_happened_and_when_it_goes_on() -> None:
    sentence = why(status=Status.RETRYING, due_at=NOW + SECOND, attempt_count=1, why="passed its timeout of 3s")

    assert sentence == "passed its timeout of 3s; attempt 2 is due at 2026-09-21T14:13:21Z"


def test_a_held_queue_names_its_holder() -> None:
    held = dataclasses.replace(QUEUE, holders=(Holder(run="run-0", task="send", slot=0, since=NOW),))

    assert why(queue=held) == "queue mail is held by run run-0 of task send since 2026-09-21T14:13:20Z"


def test_a_paused_queue_says_since_when() -> None:
    assert why(queue=dataclasses.replace(QUEUE, paused_at=NOW)) == "queue mail is paused since 2026-09-21T14:13:20Z"


def test_a_rate_says_when_the_next_start_is() -> None:
    shut = dataclasses.replace(QUEUE, rule=QueueRule(rate="1/m"), opens_at=NOW + SECOND)

    assert "starts at most 1/m" in str(why(queue=shut))


def test_a_task_that_no_node_has_is_told() -> None:
    assert "no node has the task greet" in str(why(node=dataclasses.replace(NODE, need_bytes=None)))


def test_a_task_that_can_never_fit_is_told() -> None:
    assert "more than the 100 MB" in str(why(node=dataclasses.replace(NODE, need_bytes=200 * MB)))


def test_no_slot_and_no_memory_are_told() -> None:
    assert "all 2 slots" in str(why(node=dataclasses.replace(NODE, slots_free=0)))
    assert "needs 10 MB" in str(why(node=dataclasses.replace(NODE, memory_free_bytes=5 * MB)))


def test_a_running_run_needs_no_excuse_unless_it_is_being_cancelled() -> None:
    assert why(status=Status.RUNNING) is None
    assert "cancellation was asked for" in str(why(status=Status.RUNNING, cancel_requested_at=NOW))


def test_a_final_run_says_why_it_ended() -> None:
    assert why(status=Status.FAILED, why="the task raised ValueError") == "the task raised ValueError"
