"""The messages on a control socket about one attempt, read as strictly as frames. Pure: bytes in, values out.

The supervisor sends them, and the task before it runs anything of the spec; but a process that has imported code of
users may get to send there as well. So a message is exactly one of four: the listeners of the network, the confinement
stands, a step of it failed, or how the task ended. Anything else is a `WireError`, and its sender is not trusted to
watch the task.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sandbox.errors import REASON_CHARS, STEP_CHARS, SandboxError, SetupError, WireError, printable

#: Asks the supervisor to send SIGTERM to the task; the only message to it.
TERMINATE = b"terminate"
#: The longest message; a longer one arrives cut, and so is not JSON.
MESSAGE_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Standing:
    """All steps of the confinement are done."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The listeners of the granted endpoints come with this message."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the task ended, as `Outcome` has it."""

    exit_code: int | None = None
    signal: int | None = None
    lease_over: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """The end of a launch, everything of which is dead, as trusted processes report it.

    Attributes:
        cpu_time_s: user and system time of its first process and of those that this one reaped.
        peak_bytes: peak memory of the largest process.
        report: how its task ended, if that is not reported on its control socket.
        error: why there is no outcome, unless it is known how the task ended.
    """

    cpu_time_s: float | None = None
    peak_bytes: int | None = None
    report: Ended | None = None
    error: SandboxError | None = None


def read(data: bytes) -> Listening | Standing | SetupError | Ended:
    """Read one message. Raises `WireError`."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a report is not JSON: {type(error).__name__}") from error
    match message:
        case {"ready": True, **more} if not more:
            return Standing()
        case {"listening": True, **more} if not more:
            return Listening()
        case {"step": str(step), "reason": str(reason), "errno": errno, **more} if not more:
            if len(step) <= STEP_CHARS and len(reason) <= REASON_CHARS and _is_within(errno, 0, 4095):
                return SetupError(printable(step, STEP_CHARS), printable(reason, REASON_CHARS), errno)
        case {"exit_code": None, "signal": None, "lease_over": True, **more} if not more:
            return Ended(lease_over=True)
        case {"exit_code": code, "signal": signal, **more} if not more and (code is None) != (signal is None):
            if _is_within(code, 0, 255) and _is_within(signal, 1, 64):
                return Ended(code, signal)
    raise WireError("a report says what no supervisor says")


def _is_within(value: object, least: int, most: int) -> bool:
    """Whether it is a whole number in this range, or not given."""
    return value is None or (type(value) is int and least <= value <= most)
