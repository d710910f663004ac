"""How a queue behaves, as `[queues.NAME]` of the config says. Pure: a key is one line in `QUEUE_KEYS`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from runner.domain.checks import known_keys, refusal, text
from runner.domain.options.kinds import Kind, whole, word
from runner.errors import InvalidOptionError

_PER_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


def _rate(value: Any, place: str) -> str:
    rate = text(value, place, 100)
    count, _, unit = rate.partition("/")
    is_whole = count.isascii() and count.isdecimal() and not count.startswith("0") and len(count) <= 7
    if unit not in _PER_US or not is_whole or int(count) > _PER_US["s"]:
        raise refusal(place, 'must be a rate such as "10/s", "100/m", "5/h" or "20/d"', value)
    return rate


#: The keys of a queue.
QUEUE_KEYS = {
    "concurrency": whole(1, 10_000),
    "order": word("relaxed", "strict"),
    "rate": Kind(_rate),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRule:
    """The keys of one queue."""

    concurrency: int = 1
    order: str = "relaxed"  # "strict": a retrying run holds its place; only at concurrency 1
    rate: str | None = None  # how many it starts at most, such as "10/s"

    @property
    def is_strict(self) -> bool:
        """Whether a retrying run holds its place."""
        return self.order == "strict"

    def document(self) -> dict[str, Any]:
        """The keys as JSON."""
        return asdict(self)

    def columns(self) -> dict[str, Any]:
        """What statements of the stores ask, by column. What they do not ask is not stored: the config has it."""
        count, _, unit = (self.rate or "").partition("/")
        interval_us = _PER_US[unit] // int(count) if self.rate else 0  # the shortest time between two starts
        return {
            "concurrency": self.concurrency,
            "strict": self.is_strict,
            "interval_us": interval_us,
            "rate": self.rate,
        }


def read_queue_rule(written: Any, place: str) -> QueueRule:
    """Check one table of the config.

    Raises:
        InvalidOptionError: an unknown key, or one that is wrong.
    """
    if not isinstance(written, Mapping):
        raise refusal(place, "must be a table", written)
    known_keys(written, QUEUE_KEYS, f"{place}.", "key")
    rule = QueueRule(**{key: QUEUE_KEYS[key].read(value, f"{place}.{key}") for key, value in written.items()})
    if rule.is_strict and rule.concurrency > 1:
        raise InvalidOptionError(f'{place}.order may be "strict" only at concurrency 1: got {rule.concurrency}')
    return rule
