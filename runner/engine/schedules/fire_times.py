"""When periodic tasks fire: the instants that a task's `every` or `cron` names. Pure.

`every` counts from 1970, so that all nodes agree on its instants and a restart does not move them.

A cron line is read in its time zone. What the clock changes do to it follows crontab(5). A line that names hours means
times of the day, and each of them fires once: a time that spring skips fires at the change, a time that autumn repeats
fires in its first pass only. A line that fires in every hour means the passing of time: it just goes on through both.

APScheduler's own cron trigger is not used: it counts weekdays from Monday, refuses 7 and joins the days by "and".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from runner.domain import cron
from runner.domain.options.task_options import TaskOptions

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MINUTE = timedelta(minutes=1)


def next_fire(options: TaskOptions, after_us: int) -> int | None:
    """The first instant after `after_us` at which the task is due, both microseconds since 1970; `None` for never."""
    start = _EPOCH + timedelta(microseconds=after_us + 1)
    try:
        if options.every_s is not None:
            interval = timedelta(seconds=options.every_s)
            instant: datetime | None = _EPOCH + -(-(start - _EPOCH) // interval) * interval
        elif options.cron is not None:
            crontab, zone = cron.parse(options.cron), ZoneInfo(options.timezone)
            instant = _passing(crontab, zone, start) if crontab.is_every_hour else _named(crontab, zone, start)
        else:
            return None
    except OverflowError:  # the calendar ends before
        return None
    return None if instant is None else (instant - _EPOCH) // _MICROSECOND


def _named(crontab: cron.Crontab, zone: ZoneInfo, start: datetime) -> datetime | None:
    """For a line that names hours: local times in order, each at its one instant."""
    local = start.astimezone(zone).replace(tzinfo=None, fold=0)
    while (local_or_none := crontab.next_time(local)) is not None:
        local = local_or_none
        instant = _instant(local, zone)
        # Within autumn's second pass the times just ahead have had their instant in the first.
        if instant >= start:
            return instant
        local += _MINUTE
    return None


def _passing(crontab: cron.Crontab, zone: ZoneInfo, start: datetime) -> datetime | None:
    """For a line of every hour: minute by minute on days that match, which is at most an hour of them."""
    moment = start + (_MINUTE - timedelta(seconds=start.second, microseconds=start.microsecond)) % _MINUTE
    while True:
        local = moment.astimezone(zone)
        if not crontab.matches_day(local.date()):
            day = crontab.next_day(local.date() + timedelta(days=1))
            if day is None:
                return None
            moment = max(moment + _MINUTE, _instant(datetime(day.year, day.month, day.day), zone))  # noqa: DTZ001
        elif local.minute in crontab.minutes:
            return moment
        else:
            moment += _MINUTE


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The instant of a naive local time: its first pass where there are two, the change where it was skipped."""
    instant = local.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local:
        return instant
    # Skipped: read with the offset before the change it lies after it, read with the one after it, before.
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    while instant - before > timedelta(seconds=1):
        middle = before + (instant - before) // 2
        if middle.astimezone(zone).replace(tzinfo=None) < local:
            before = middle
        else:
            instant = middle
    return (before + timedelta(seconds=1)).replace(microsecond=0)
