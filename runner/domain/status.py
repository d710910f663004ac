"""The states of a run, the reasons an attempt ends, and the one table of what may follow what.

The store's constraints and the diagram in the documentation are tested equal to this table.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a run stands. A final status never changes."""

    SCHEDULED = "scheduled"  # not due yet
    QUEUED = "queued"  # due, waits for its turn
    RUNNING = "running"  # has a live attempt
    WAITING = "waiting"  # put to sleep by itself, has no process
    RETRYING = "retrying"  # an attempt failed, waits for the next
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # was not started in time

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow."""
        return not TRANSITIONS[self]


class Reason(StrEnum):
    """Why one attempt ended."""

    SUCCESS = "success"  # the task returned
    ERROR = "error"  # the task raised, or its result was not JSON
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    CRASH = "crash"  # it ended without a response
    LOST = "lost"  # its node died or was cut off
    CANCELLED = "cancelled"
    DRAINED = "drained"  # its node was stopping; uses up no budget
    SUSPENDED = "suspended"  # it sleeps; uses up no budget


#: Which statuses may follow which.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.SCHEDULED: frozenset({Status.QUEUED, Status.CANCELLED, Status.EXPIRED}),
    Status.QUEUED: frozenset({Status.RUNNING, Status.CANCELLED, Status.EXPIRED}),
    Status.RUNNING: frozenset(
        {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.RETRYING, Status.WAITING, Status.QUEUED}
    ),
    Status.WAITING: frozenset({Status.RUNNING, Status.CANCELLED}),
    Status.RETRYING: frozenset({Status.RUNNING, Status.CANCELLED}),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
}

FINAL: frozenset[Status] = frozenset(status for status in Status if not TRANSITIONS[status])
#: Statuses of a run that has no process and may get one.
PENDING: frozenset[Status] = frozenset({Status.SCHEDULED, Status.QUEUED, Status.RETRYING, Status.WAITING})
