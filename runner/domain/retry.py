"""How often a run is tried again, and after what delay. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from runner.domain.status import Reason
from runner.errors import InvalidOptionError
from runner.units import seconds

if TYPE_CHECKING:
    import random  # costs a task that writes a policy more than all the rest of this

#: Reasons that a policy may list in `on`; the others are decided by isolane alone.
RETRYABLE = (Reason.ERROR, Reason.TIMEOUT, Reason.OUT_OF_MEMORY, Reason.CRASH)
_MOST = 10**9
_UNANSWERED = ("timeout", "out_of_memory", "crash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A retry policy.

    Attributes:
        attempts: how many attempts a run gets in all, `None` for as many as it takes.
        first: delay before the second attempt, a duration such as "1s".
        max: longest delay, a duration.
        factor: what the delay grows by from one attempt to the next.
        jitter: share of the delay, 0 to 1, within which it is moved by chance, so that a crowd spreads out.
        on: the reasons after which to try again, of `error`, `timeout`, `out_of_memory` and `crash`.
        lost: how often a run may lose its node before it fails.

    Raises:
        InvalidOptionError: a value out of range, or an unknown reason.
    """

    attempts: int | None = 3
    first: str = "1s"
    max: str = "10m"
    factor: float = 2.0
    jitter: float = 0.2
    on: tuple[str, ...] = _UNANSWERED
    lost: int = 20

    def __post_init__(self) -> None:
        if self.attempts is not None and (not _is_int(self.attempts) or not 1 <= self.attempts <= _MOST):
            raise InvalidOptionError(
                f"retry.attempts must be a whole number from 1, or None: got {self.attempts!r:.80}"
            )
        if not _is_int(self.lost) or not 0 <= self.lost <= _MOST:
            raise InvalidOptionError(f"retry.lost must be a whole number from 0: got {self.lost!r:.80}")
        for name in ("first", "max"):
            seconds(getattr(self, name), f"retry.{name}")
        if not _is_number(self.factor) or not 1 <= self.factor <= 100:
            raise InvalidOptionError(f"retry.factor must be a number from 1 to 100: got {self.factor!r:.80}")
        if not _is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise InvalidOptionError(f"retry.jitter must be a number from 0 to 1: got {self.jitter!r:.80}")
        reasons = self.on if isinstance(self.on, list | tuple) else (self.on,)
        for reason in reasons:
            if reason not in RETRYABLE:
                raise InvalidOptionError(f"retry.on may list {', '.join(RETRYABLE)}: got {reason!r:.80}")
        object.__setattr__(self, "on", tuple(dict.fromkeys(reasons)))  # each once: it is kept with the run

    def delay_s(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after the `failures`-th failure, counted from 1."""
        first, longest = seconds(self.first, "retry.first"), seconds(self.max, "retry.max")
        # The exponent is bounded so that a run retried for years does not overflow a float.
        delay = min(first * self.factor ** min(failures - 1, 64), longest)
        return delay * (1 + self.jitter * rng.uniform(-1, 1))

    def document(self) -> dict[str, object]:
        """Itself as JSON; `Retry(**document)` gives an equal policy."""
        return {**asdict(self), "on": list(self.on)}


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
