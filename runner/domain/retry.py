"""How often a run is tried again, and after what delay. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from runner.domain.options.kinds import RETRY_PARTS
from runner.units import seconds

if TYPE_CHECKING:
    import random  # costs a task that writes a policy more than all the rest of this

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
        for name, kind in RETRY_PARTS.items():
            object.__setattr__(self, name, kind.read(getattr(self, name), f"retry.{name}"))

    def delay_s(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after the `failures`-th failure, counted from 1."""
        first, longest = seconds(self.first, "retry.first"), seconds(self.max, "retry.max")
        # The exponent is bounded so that a run retried for years does not overflow a float.
        delay = min(first * self.factor ** min(failures - 1, 64), longest)
        return delay * (1 + self.jitter * rng.uniform(-1, 1))

    def document(self) -> dict[str, object]:
        """Itself as JSON; `Retry(**document)` gives an equal policy."""
        return {**asdict(self), "on": list(self.on)}
