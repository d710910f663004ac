"""How a run of `Sandbox.run` or `Sandbox.call` ended: the facts, and the verdict on them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sandbox.api.output import Texts
from sandbox.outcome import Outcome
from sandbox.verdict import Error, Reason, killed_for_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed(Outcome):
    """An `Outcome` with the verdict on it.

    Attributes:
        reason: why it ended.
        why: the same as one sentence.
        value: what the function returned; `None` for a file, and unless the reason is success.
        error: the exception that nobody caught.
        output: what it wrote to stdout and stderr, in the order in which it arrived.
        stdout: the part of `output` that it wrote to stdout.
        stderr: the part of `output` that it wrote to stderr.
        is_truncated: whether it wrote more than was kept; then the text ends by saying so.
    """

    reason: Reason
    why: str
    value: Any
    error: Error | None
    output: str
    stdout: str
    stderr: str
    is_truncated: bool


@dataclass(slots=True, kw_only=True)
class Answer:
    """The answer that came over the channel, if one came.

    Attributes:
        has_value: whether it is a value.
        value: what the function returned.
        error: what the function raised.
        fault: what is wrong with the answer, as the rest of "it …".
    """

    has_value: bool = False
    value: Any = None
    error: Error | None = None
    fault: str = ""

    @property
    def is_there(self) -> bool:
        """Whether it has answered, well or badly."""
        return self.has_value or self.error is not None or bool(self.fault)

    @classmethod
    def read(cls, frame: dict[str, Any]) -> Answer:
        """The answer in a frame, which is hostile input."""
        if "value" in frame:
            return cls(has_value=True, value=frame["value"])
        error = Error.read(frame.get("error"))
        return cls(error=error, fault="" if error is not None else "answered with neither a value nor an error")


def complete(
    outcome: Outcome, answer: Answer, output: Texts, *, is_program: bool, timed_out_s: float | None, memory_bytes: int
) -> Completed:
    """The verdict on a process that ended as `outcome`.

    Args:
        outcome: the facts.
        answer: what it sent before it was decided to kill it.
        output: what it wrote.
        is_program: whether its exit code is its answer.
        timed_out_s: its timeout, if it was killed for that.
        memory_bytes: its limit.
    """
    judge = _judge_program if is_program else _judge_function
    reason, why = judge(outcome, answer, timed_out_s, memory_bytes)
    return Completed(
        **{each.name: getattr(outcome, each.name) for each in fields(Outcome)},
        reason=reason,
        why=why,
        value=answer.value,
        error=answer.error,
        output=output.both,
        stdout=output.stdout,
        stderr=output.stderr,
        is_truncated=output.is_cut,
    )


def _judge_program(
    outcome: Outcome, answer: Answer, timed_out_s: float | None, memory_bytes: int
) -> tuple[Reason, str]:
    if (killed := _judge_kill(outcome, timed_out_s, memory_bytes)) is not None:
        return killed
    if outcome.exit_code == 0:
        return Reason.SUCCESS, "it exited with code 0"
    if answer.error is not None:
        return _judge_error(answer.error, memory_bytes)
    if answer.fault:
        return Reason.CRASH, f"it {answer.fault}"
    return (Reason.CRASH if outcome.exit_code is None else Reason.ERROR), f"it {outcome.describe_exit()}"


def _judge_function(
    outcome: Outcome, answer: Answer, timed_out_s: float | None, memory_bytes: int
) -> tuple[Reason, str]:
    if answer.has_value:
        return Reason.SUCCESS, "it returned"
    if answer.error is not None:
        return _judge_error(answer.error, memory_bytes)
    if (killed := _judge_kill(outcome, timed_out_s, memory_bytes)) is not None:
        return killed
    return Reason.CRASH, f"it {answer.fault or outcome.describe_exit() + ' before it returned'}"


def _judge_kill(outcome: Outcome, timed_out_s: float | None, memory_bytes: int) -> tuple[Reason, str] | None:
    if timed_out_s is not None:
        return Reason.TIMEOUT, f"it was killed after its timeout of {timed_out_s:g} s"
    if outcome.memory_kills:
        return Reason.OUT_OF_MEMORY, f"it {killed_for_memory(memory_bytes)}"
    return None


def _judge_error(error: Error, memory_bytes: int) -> tuple[Reason, str]:
    reason, what = error.judge(memory_bytes)
    if error.type == "ModuleNotFoundError":
        what += ' (modules beside its own are not shown: name them, as in Sandbox(packages=["helpers"]))'
    return reason, f"it {what}"
