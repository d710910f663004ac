"""Why an attempt ended. Pure: the first of these causes that applies, with a true sentence.

1. A valid response that was read before a decision to kill.
2. The runner's own decision: timeout, cancelled, drained, out_of_memory at once by the evidence of 4.
3. The end of its node's lease, by its supervisor's hand.
4. A process of the tree that was killed for the memory limit.
5. How the process ended without a response: a crash.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.domain.run import TaskError
from runner.domain.status import Reason
from sandbox import Outcome, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What the task's own code answered: a result as JSON text, or an error."""

    result: str | None = None
    error: TaskError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The runner's decision to end an attempt."""

    reason: Reason
    why: str


def judge(
    response: Response | None,
    decision: Decision | None,
    outcome: Outcome,
    fault: str | None,
    memory_bytes: int,
    *,
    kept_bytes: int = 0,
) -> tuple[Reason, str]:
    """The reason and the sentence for an attempt that ended as `outcome`.

    Args:
        response: what was read before any decision, memory kill or fault.
        decision: the runner's, where it made one.
        outcome: how the sandbox saw it end.
        fault: what was wrong with what came over the channel, where something was.
        memory_bytes: the attempt's limit.
        kept_bytes: what it had kept of that, where it had given back the rest while it waited.
    """
    if response is not None:
        if response.error is None:
            return Reason.SUCCESS, "the task returned"
        reason, what = response.error.judge(memory_bytes)
        return Reason(reason), f"the task {what}"
    if decision is not None:
        return decision.reason, decision.why
    if outcome.lease_over:
        return Reason.LOST, "its node could not renew its lease in time, so that its attempt was ended"
    if outcome.memory_kills:
        return Reason.OUT_OF_MEMORY, killed_for_memory(memory_bytes, kept_bytes)
    if fault is not None:
        return Reason.CRASH, f"its process {fault}, and was ended without a response"
    return Reason.CRASH, f"its process {outcome.describe_exit()} without a response"


def killed_for_memory(memory_bytes: int, kept_bytes: int = 0) -> str:
    """Why an attempt ended of which the kernel, or the watchdog, killed a process for memory."""
    if kept_bytes:
        return (
            f"was killed for taking more memory while it waited for another run: it had given back all but "
            f"{verdict.megabytes(kept_bytes)} of {verdict.megabytes(memory_bytes)}"
        )
    return verdict.killed_for_memory(memory_bytes)
