"""Why a run is not running, in one sentence. Pure: the first obstacle that applies is the one that is told."""

from __future__ import annotations

from dataclasses import dataclass

from runner.domain.run import QueueState, Run
from runner.domain.status import Status
from runner.units import describe_seconds, rfc3339

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """What a node knows of its own room, as far as one task is concerned."""

    need_bytes: int | None  # the task's memory limit, `None` where the node does not have the task
    memory_bytes: int  # in all
    memory_free_bytes: int
    slots: int  # in all
    slots_free: int
    draining: bool = False  # somebody asked it to start nothing more
    stopping: bool = False
    problem: str | None = None  # why it does not have the task, as far as it knows


def explain(run: Run, queue: QueueState | None, node: NodeView, now: int) -> str | None:
    """Why `run` waits or how it ended; `None` while it runs undisturbed."""
    if run.status.is_final:
        return run.why
    if run.status is Status.RUNNING:
        asked = run.cancel_requested_at
        return None if asked is None else f"cancellation was asked for at {_moment(asked)}; its attempt is being ended"
    due_at = run.due_at if run.next_attempt_at is None else run.next_attempt_at
    if due_at > now:
        if run.status is Status.RETRYING:
            return f"{run.why}; attempt {run.attempt_count + 1} is due at {_moment(due_at)}"
        return f"is due at {_moment(due_at)}, in {describe_seconds((due_at - now) / 1e6)}"
    return _queue_obstacle(run, queue, now) or _node_obstacle(run, node) or "is about to start: it is next in line"


def _queue_obstacle(run: Run, queue: QueueState | None, now: int) -> str | None:
    if queue is None:
        return None
    if queue.paused_at is not None:
        return f"queue {queue.name} is paused since {_moment(queue.paused_at)}"
    others = [holder for holder in queue.holders if holder.run != run.id]
    if len(others) >= queue.rule.concurrency:
        holder = others[0]
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        return (
            f"queue {queue.name} is held by run {holder.run} of task {holder.task}{more} since {_moment(holder.since)}"
        )
    if queue.opens_at is not None and queue.opens_at > now:
        return f"queue {queue.name} starts at most {queue.rule.rate}; its next start is at {_moment(queue.opens_at)}"
    return None


def _node_obstacle(run: Run, node: NodeView) -> str | None:
    if node.need_bytes is None:
        cause = f" ({node.problem})" if node.problem else ""
        return f"no node has the task {run.task}{cause}; it starts when the task is there again"
    if node.need_bytes > node.memory_bytes:
        return (
            f"task {run.task} needs {node.need_bytes // _MIB} MB, more than the {node.memory_bytes // _MIB} MB that a "
            f"node has in all; lower its memory or raise runner.memory"
        )
    if node.stopping:
        return "the node is stopping; it starts when a node is there again"
    if node.draining:
        return "the node was asked to start nothing more; it starts after `isolane nodes undrain`, or on another node"
    if node.slots_free <= 0:
        return f"no capacity: all {node.slots} slots of the node are taken"
    if node.need_bytes > node.memory_free_bytes:
        return (
            f"no capacity: it needs {node.need_bytes // _MIB} MB of memory and {node.memory_free_bytes // _MIB} MB of "
            f"{node.memory_bytes // _MIB} MB are free"
        )
    return None


def _moment(instant: int) -> str:
    """An instant to the second: sentences are for people."""
    return rfc3339(instant).split(".")[0] + "Z"
