"""A cron line, as crontab(5) defines it: five fields, or a macro such as `@daily`. Pure calendar, without time zones.

Fields are minute, hour, day of month, month and day of week. Each is `*`, a number, a range `a-b`, a list of these with
commas, and any range or `*` may have a step `/n`. Months and weekdays have English three-letter names too; Sunday is 0
and 7. Where both days are restricted, a day matches that fits either; a field that begins with `*` does not count as
restricted. What the clock changes make of it is decided in `runner.engine.schedules.fire_times`.
"""

from __future__ import annotations

import functools
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from runner.domain.checks import shown
from runner.errors import InvalidOptionError


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()  # of the values from `low` on


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _WEEKDAYS),
)
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
#: The calendar repeats after this many years, weekdays included.
_CYCLE_YEARS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Crontab:
    """A parsed line. Weekdays count from 0 for Sunday."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool  # a day of the month or of the week is enough

    @property
    def is_every_hour(self) -> bool:
        """Whether it fires at least once in each hour of the days that it fires on."""
        return len(self.hours) == 24

    def matches_day(self, day: date) -> bool:
        """Whether it fires on that day."""
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (in_month or in_week if self.either_day else in_month and in_week)

    def next_day(self, day: date) -> date | None:
        """The first day from `day` on that it fires on, `None` after the year 9999."""
        for year in range(day.year, min(day.year + _CYCLE_YEARS, date.max.year) + 1):
            for month in sorted(self.months):
                for number in range(1, monthrange(year, month)[1] + 1):
                    candidate = date(year, month, number)
                    if candidate >= day and self.matches_day(candidate):
                        return candidate
        return None

    def next_time(self, moment: datetime) -> datetime | None:
        """The first matching minute from `moment` on, both naive; `None` after the year 9999."""
        day = self.next_day(moment.date())
        if day == moment.date():
            for hour in self.hours:
                for minute in self.minutes:
                    if time(hour, minute) >= moment.time():
                        return datetime.combine(day, time(hour, minute))
            day = self.next_day(day + timedelta(days=1)) if day < date.max else None
        return datetime.combine(day, time(self.hours[0], self.minutes[0])) if day else None


@functools.lru_cache(maxsize=1024)
def parse(line: str, name: str = "cron") -> Crontab:
    """Read a cron line; `name` says in errors where it stands.

    Raises:
        InvalidOptionError: not a cron line, or one that can never fire, such as on 31 February.
    """
    written = line.strip().lower()
    if written.startswith("@") and written not in _MACROS:
        raise InvalidOptionError(f"{name} may be one of {', '.join(_MACROS)} or five fields: got {shown(line)}")
    fields = _MACROS.get(written, written).split()
    if len(fields) != len(_FIELDS):
        raise InvalidOptionError(
            f'{name} must have five fields, "minute hour day-of-month month day-of-week": '
            f"got {len(fields)} in {shown(line)}"
        )
    minutes, hours, days, months, weekdays = (
        _values(text, field, f"{name}, {field.name}") for text, field in zip(fields, _FIELDS, strict=True)
    )
    crontab = Crontab(
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(day % 7 for day in weekdays),
        either_day=not fields[2].startswith("*") and not fields[4].startswith("*"),
    )
    # 2000 is a leap year, so that 29 February counts; with weekdays the day exists in some year of the cycle.
    if not crontab.either_day and not any(
        day <= monthrange(2000, month)[1] for month in crontab.months for day in crontab.days
    ):
        raise InvalidOptionError(f"{name} can never fire: no such day in {_listed(crontab.months)}: got {shown(line)}")
    return crontab


def _values(text: str, field: _Field, name: str) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        first, dash, last = span.partition("-")
        low = field.low if span == "*" else _value(first, field, name)
        high = field.high if span == "*" else _value(last, field, name) if dash else low
        if field.names is _WEEKDAYS and span != "*" and high == 0 < low:
            high = 7  # "sat-sun": a week may also end with its Sunday
        if high < low:
            raise _error(name, f"the range {shown(span)} ends before it begins; write it as two with a comma between")
        if slash and span != "*" and not dash:
            raise _error(name, f"a step needs a range: write {first}-{field.high}/{step_text}, not {shown(part)}")
        step = int(step_text) if _is_number(step_text) else 0
        if slash and not 1 <= step <= field.high:
            raise _error(name, f"a step must be a whole number from 1 to {field.high}, got {shown(step_text)}")
        values.update(range(low, high + 1, step or 1))
    return values


def _value(text: str, field: _Field, name: str) -> int:
    if text in field.names:
        return field.low + field.names.index(text)
    if _is_number(text) and field.low <= int(text) <= field.high:
        return int(text)
    names = f" or a name such as {field.names[0]}" if field.names else ""
    raise _error(name, f"{shown(text)} is not a number from {field.low} to {field.high}{names}")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4


def _error(name: str, why: str) -> InvalidOptionError:
    return InvalidOptionError(f"{name}: {why}")


def _listed(months: frozenset[int]) -> str:
    return ", ".join(_MONTHS[month - 1].capitalize() for month in sorted(months))
