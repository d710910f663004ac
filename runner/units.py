"""Durations, sizes and instants: from what people write to plain numbers, and back.

A duration always has a unit ("90s"), because a bare number hides one; so has a size ("256MB"). An instant always has
an offset, because a naive one means something else on every machine. Each function takes the `name` of what it reads,
so that the error says where the wrong value stands. Nothing but builtins is imported until an instant is asked for:
this runs inside every attempt.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runner.errors import InvalidOptionError

if TYPE_CHECKING:
    from datetime import datetime, timedelta

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_LONGEST_S = 36500 * 86400.0
_LARGEST = 1 << 62
_LONGEST_TEXT = 200  # of a duration: as it was written it is kept with a run, blanks included
_DIGITS = "0123456789"


def seconds(value: str | timedelta, name: str) -> float:
    """The seconds of a duration: a timedelta, or text such as "200ms", "90s", "1h30m", "3d".

    Raises:
        InvalidOptionError: no duration, negative, or longer than a hundred years; names `name`.
    """
    if isinstance(value, str):
        total = _parse_duration(value)
        if total is None:
            raise InvalidOptionError(
                f'{name} must be a duration such as "200ms", "90s", "5m", "1h30m" or "3d": got {_shown(value)}'
            )
    elif _is_number(value):
        raise InvalidOptionError(f'{name} must have a unit: write "{value}s" or "{value}ms", not {value!r}')
    else:
        from datetime import timedelta  # noqa: PLC0415 - see the module's docstring

        if not isinstance(value, timedelta):
            raise InvalidOptionError(
                f'{name} must be a duration such as "90s", or a timedelta: got a {type(value).__name__}'
            )
        total = value.total_seconds()
    if total < 0:
        raise InvalidOptionError(f"{name} must not be negative: got {value}")
    if total > _LONGEST_S:
        raise InvalidOptionError(f"{name} must be at most 36500d: got {_shown(str(value))}")
    return total


def _parse_duration(text: str) -> float | None:
    """The seconds of "1h30m" and the like; parts go from the larger unit to the smaller, each at most once."""
    if len(text) > _LONGEST_TEXT:
        return None
    total, rest, units = 0.0, text.strip(" "), iter(_SECONDS.items())
    while rest:
        number, rest = _leading_number(rest)
        letters = len(rest) - len(rest.lstrip("dhms"))
        unit, rest = rest[:letters], rest[letters:].removeprefix(" ")
        # Consuming one iterator for all parts is what holds them in order.
        factor = next((factor for known, factor in units if known == unit), None)
        if number is None or factor is None:
            return None
        total += number * factor
    return round(total, 6) if text.strip(" ") else None


def size_bytes(value: str, name: str) -> int:
    """The bytes of a size such as "64KB", "256MB", "1.5GB"; the units are powers of 1024 ("MiB" means the same).

    Raises:
        InvalidOptionError: no size; names `name`.
    """
    if _is_number(value):
        raise InvalidOptionError(f'{name} must have a unit: write "{value}MB" or "{value}B", not {value!r}')
    if not isinstance(value, str):
        raise InvalidOptionError(f'{name} must be a size such as "256MB": got a {type(value).__name__}')
    number, unit = _leading_number(value.strip(" "))
    factor = _BYTES.get(unit.strip(" ").upper().replace("IB", "B"))
    if number is None or factor is None:
        raise InvalidOptionError(f'{name} must be a size such as "64KB", "256MB" or "1GB": got {_shown(value)}')
    if number * factor > _LARGEST:
        raise InvalidOptionError(f"{name} must be at most 4194304TB: got {_shown(value)}")
    return round(number * factor)


def instant(value: datetime | str, name: str) -> int:
    """Microseconds since 1970 (UTC) of an aware datetime or an RFC 3339 text such as "2026-11-20T21:00:00Z".

    Raises:
        InvalidOptionError: naive, or no instant; names `name`.
    """
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415 - see the module's docstring

    moment = _parse_rfc3339(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise InvalidOptionError(
            f'{name} must be an aware datetime or RFC 3339 text such as "2026-11-20T21:00:00Z": '
            f"got {_shown(value) if isinstance(value, str) else 'a ' + type(value).__name__}"
        )
    if moment.utcoffset() is None:
        fix = 'end it in "Z" or an offset such as "+01:00"' if isinstance(value, str) else "pass tzinfo, such as UTC"
        raise InvalidOptionError(f"{name} is {value}, without a time zone it could mean any of many instants; {fix}")
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise InvalidOptionError(f"{name} lies outside the years 1 to 9999: got {value}") from None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _parse_rfc3339(text: str) -> datetime | None:
    import re  # noqa: PLC0415
    from datetime import datetime  # noqa: PLC0415

    # `fromisoformat` alone takes more than RFC 3339 has, such as week dates.
    shape = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?"
    if not re.fullmatch(shape, text, re.ASCII):
        return None
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        return None


def rfc3339(us: int) -> str:
    """An instant, microseconds since 1970, as people and JSON read it: "2026-11-20T21:00:00.123456Z"."""
    s, fraction = divmod(us, 1_000_000)
    return "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ" % (*time.gmtime(s)[:6], fraction)  # noqa: UP031 - half the time


def written_duration(length_s: float) -> str:
    """A duration as `seconds` reads it: in the largest unit of which it is a whole number, to the nanosecond."""
    for unit, factor in _SECONDS.items():
        if length_s and length_s % factor == 0 and unit != "ms":
            return f"{round(length_s / factor)}{unit}"
    return f"{length_s * 1000:.6f}".rstrip("0").rstrip(".") + "ms"


def written_size(size: int) -> str:
    """A size as `size_bytes` reads it, in the largest unit of which it is a whole number."""
    unit = next((unit for unit, factor in reversed(_BYTES.items()) if size and size % factor == 0), "B")
    return f"{size // _BYTES[unit]}{unit}"


def describe_seconds(s: float) -> str:
    """A duration for people, in its two largest units: "250ms", "1.5s", "1m 30s", "3d"; without end "for ever"."""
    if s == float("inf"):
        return "for ever"
    if s < 0.9995:
        return f"{round(s * 1000)}ms"
    if s < 59.95:
        return f"{s:.3g}s"
    parts, rest = [], round(s)
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, int(_SECONDS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def _leading_number(text: str) -> tuple[float | None, str]:
    """The decimal number that `text` begins with, and the rest."""
    rest = text.lstrip(_DIGITS + ".")
    digits = text[: len(text) - len(rest)]
    whole, _, fraction = digits.partition(".")
    if not whole or "." in fraction or len(digits) > 20 or digits.endswith("."):
        return None, rest
    return float(digits), rest


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:40] + "…")
