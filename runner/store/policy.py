"""What the config says about queues and limits, as every operation needs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runner.store.contract import QueueRule, StoreLimits


@dataclass(frozen=True, slots=True)
class Policy:
    """The rule of each queue, and how much may wait. `queue_rule` is called in the writer's thread: it must be pure."""

    queue_rule: Callable[[str, str], QueueRule]
    limits: StoreLimits
