"""What the config says about queues and limits, as every operation needs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runner.domain.options.queue_rule import QueueRule
from runner.domain.run import QueueState
from runner.store.records import StoreLimits


@dataclass(frozen=True, slots=True)
class Policy:
    """The rule of each queue, and how much may wait. `queue_rule` is called in the writer's thread: it must be pure."""

    queue_rule: Callable[[str, str], QueueRule]
    limits: StoreLimits

    def empty_queue(self, app: str, name: str) -> QueueState:
        """A queue that nothing waits in or holds."""
        rule = self.queue_rule(app, name)
        return QueueState(app=app, name=name, rule=rule, waiting=0, scheduled=0, paused_at=None, opens_at=None)
