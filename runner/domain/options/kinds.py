"""Kinds of options: how a value is read where somebody wrote it, and written back as JSON.

A reader takes what was written and its place, and gives the value that is held, or raises `InvalidOptionError`. It
takes what Python users write (a `timedelta`, a tuple) as well as what TOML and JSON have, so that a rule stands once.
What is expensive to check, such as a cron line, is imported by its reader alone: this runs inside every attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from runner.domain import checks
from runner.domain.checks import refusal
from runner.domain.names import check_queue, check_secret, check_tag, check_task
from runner.domain.status import Reason
from runner.errors import InvalidOptionError
from runner.units import instant, rfc3339, seconds, size_bytes, written_duration, written_size

Reader = Callable[[Any, str], Any]
Writer = Callable[[Any], Any]

#: Every kind has a bound: all options of a task that reach the sandbox travel in one launch message of at most 160 KB
#: (`sandbox.protocol.messages.MESSAGE_LIMIT`), with its mounts and import path.
_MOST_ENTRIES = 50
_LONGEST_DELAY_MS = 36500 * 86_400_000
#: Reasons that a retry policy may list in `on`; the others are decided by isolane alone.
RETRYABLE = (Reason.ERROR, Reason.TIMEOUT, Reason.OUT_OF_MEMORY, Reason.CRASH)


class Kind:
    """One kind.

    Attributes:
        read: from what was written, and its place, to the value that is held.
        write: from the value that is held to JSON that reads back as it.
        unit: of the value that is held: "s", "bytes", or "" where it needs none.
    """

    __slots__ = ("read", "unit", "write")

    def __init__(self, read: Reader, write: Writer = lambda held: held, unit: str = "") -> None:
        self.read, self.write, self.unit = read, write, unit


def optional(kind: Kind, word: str = "none", held: object = None) -> Kind:
    """The same, or none: written as `word` (or null), and held as `held`."""

    def read(value: Any, place: str) -> Any:
        is_none = value is None or (isinstance(value, str) and value == word)
        return held if is_none else kind.read(value, place)

    return Kind(read, lambda value: word if value == held else kind.write(value), kind.unit)


def text(longest: int) -> Kind:
    """Text that is not empty."""
    return Kind(lambda value, place: checks.text(value, place, longest, 1))


def whole(low: int, high: int) -> Kind:
    """A whole number."""
    return Kind(lambda value, place: checks.whole(value, place, low, high))


def number(low: float, high: float) -> Kind:
    """A number."""
    return Kind(lambda value, place: checks.number(value, place, low, high))


def word(*allowed: str) -> Kind:
    """One of these words."""
    return Kind(lambda value, place: checks.one_of(value, place, allowed))


def duration(shortest: str, longest: str = "36500d") -> Kind:
    """A duration within the range."""

    def read(value: Any, place: str) -> float:
        length_s = seconds(value, place)
        if not seconds(shortest, place) <= length_s <= seconds(longest, place):
            raise refusal(place, f"must be from {shortest} to {longest}", str(value))
        return length_s

    return Kind(read, written_duration, "s")


def size(smallest: str, largest: str = "1024TB") -> Kind:
    """A size within the range."""

    def read(value: Any, place: str) -> int:
        size = size_bytes(value, place)
        if not size_bytes(smallest, place) <= size <= size_bytes(largest, place):
            raise refusal(place, f"must be from {smallest} to {largest}", value)
        return size

    return Kind(read, written_size, "bytes")


def entries(check: Callable[[object, str], str]) -> Kind:
    """A list of texts that each pass the check; each counts once, in the order given."""

    def read(value: Any, place: str) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise refusal(place, "must be a list of text", value)
        if len(value) > _MOST_ENTRIES:
            raise refusal(place, f"must have at most {_MOST_ENTRIES} entries", len(value))
        return tuple(dict.fromkeys(check(entry, f"{place}[{index}]") for index, entry in enumerate(value)))

    return Kind(read, list)


def parts(known: dict[str, Kind], example: str, kind: str) -> Kind:
    """A table of some of these parts, kept as JSON; or an object whose `document` is one."""

    def read(value: Any, place: str) -> dict[str, Any]:
        written = value.document() if hasattr(type(value), "document") else value
        if not isinstance(written, dict):
            raise refusal(place, f"must be a table such as {example}", value)
        checks.known_keys(written, known, place + ".", kind)
        return {key: known[key].write(known[key].read(part, f"{place}.{key}")) for key, part in written.items()}

    return Kind(read, lambda held: held if isinstance(held, dict) else held.document())


def _cron(value: Any, place: str) -> str:
    from runner.domain import cron  # noqa: PLC0415 - see the module's docstring

    cron.parse(checks.text(value, place, 1000), place)
    return str(value)


def _timezone(value: Any, place: str) -> str:
    from zoneinfo import ZoneInfo, available_timezones  # noqa: PLC0415 - see the module's docstring

    zone = checks.text(value, place, 100)
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        # Inside a sandbox there may be none at all; then the runner, which reads the same again, decides.
        if known := available_timezones():
            hint = checks.nearest(zone, known)
            raise InvalidOptionError(
                f'{place} must be a time zone such as "Europe/Oslo": got {checks.shown(zone)}{hint}'
            ) from None
    return zone


def _network(value: Any, place: str) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    if not isinstance(value, list | tuple):
        raise refusal(place, 'must be true, false or a list such as ["smtp.example.com:587"]', value)
    from sandbox import endpoint  # noqa: PLC0415 - see the module's docstring

    try:
        return tuple(str(each) for each in endpoint.parse_all(tuple(value))) or False
    except ValueError as error:
        raise InvalidOptionError(f"{place}{error}") from None


def _delay(value: Any, place: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 <= value <= _LONGEST_DELAY_MS:
            raise refusal(place, f"must lie between 0 and {_LONGEST_DELAY_MS} milliseconds", value)
        return value / 1000
    return seconds(value, place)


def _key(value: Any, place: str) -> str:
    key = checks.text(value, place, 500, 1)
    if "\0" in key:
        raise refusal(place, "must not hold U+0000, which not every store can keep", key)
    return key


def _reasons(value: Any, place: str) -> tuple[str, ...]:
    reasons: Iterable[Any] = value if isinstance(value, list | tuple) else (value,)
    for reason in reasons:
        if reason not in RETRYABLE:
            raise refusal(place, f"may list {', '.join(RETRYABLE)}", reason)
    return tuple(dict.fromkeys(map(str, reasons)))


def _duration_text(value: Any, place: str) -> str:
    length_s = seconds(value, place)
    return value if isinstance(value, str) else written_duration(length_s)


TASK = Kind(check_task)
QUEUE = Kind(check_queue)
TAGS = entries(check_tag)
SECRETS = entries(check_secret)
CRON = Kind(_cron)
TIMEZONE = Kind(_timezone)
NETWORK = Kind(_network, lambda held: held if isinstance(held, bool) else list(held))
INSTANT = Kind(instant, rfc3339, "us")
#: A duration, or a number of milliseconds.
DELAY = Kind(_delay, written_duration, "s")
KEY = Kind(_key)
FLAG = Kind(checks.flag)

#: The parts of a retry policy, held as they are written; their defaults are those of `runner.domain.retry.Retry`.
RETRY_PARTS = {
    "attempts": Kind(optional(whole(1, 10**9)).read),
    "first": Kind(_duration_text),
    "max": Kind(_duration_text),
    "factor": number(1, 100),
    "jitter": number(0, 1),
    "on": Kind(_reasons, list),
    "lost": whole(0, 10**9),
}
RETRY = parts(RETRY_PARTS, "{attempts = 3}", "key of a retry policy")
