"""When periodic tasks fire: APScheduler triggers for a task's `every` and `cron`.

`every` counts from 1970, so that all nodes agree on its instants and a restart does not move them.

A cron line is read in its time zone. What the clock changes do to it follows crontab(5). A line that names hours means
times of the day, and each of them fires once: a time that spring skips fires at the change, a time that autumn repeats
fires in its first pass only. A line that fires in every hour means the passing of time: it just goes on through both.

APScheduler's own cron trigger is not used: it counts weekdays from Monday, refuses 7 and joins the days by "and".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger

from runner.domain import cron
from runner.domain.options.task_options import TaskOptions

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MINUTE = timedelta(minutes=1)


class EveryTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler ships no types
    """Fires at whole multiples of an interval since 1970."""

    def __init__(self, interval: timedelta) -> None:
        self.interval = interval

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The first multiple after the previous one, or from `now` on where there was none."""
        start = _start(previous_fire_time, now)
        try:
            return _EPOCH + -(-(start - _EPOCH) // self.interval) * self.interval
        except OverflowError:
            return None


class CrontabTrigger(BaseTrigger):  # type: ignore[misc]
    """Fires as a cron line says, in a time zone."""

    def __init__(self, crontab: cron.Crontab, zone: ZoneInfo) -> None:
        self.crontab = crontab
        self.zone = zone

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The first instant after the previous one, or from `now` on where there was none."""
        start = _start(previous_fire_time, now)
        try:
            following = self._passing(start) if self.crontab.is_every_hour else self._named(start)
        except OverflowError:
            return None
        return following.astimezone(self.zone) if following else None

    def _named(self, start: datetime) -> datetime | None:
        """For a line that names hours: local times in order, each at its one instant."""
        local = start.astimezone(self.zone).replace(tzinfo=None, fold=0)
        while (local_or_none := self.crontab.next_time(local)) is not None:
            local = local_or_none
            instant = _instant(local, self.zone)
            # Within autumn's second pass the times just ahead have had their instant in the first.
            if instant >= start:
                return instant
            local += _MINUTE
        return None

    def _passing(self, start: datetime) -> datetime | None:
        """For a line of every hour: minute by minute on days that match, which is at most an hour of them."""
        moment = start + (_MINUTE - timedelta(seconds=start.second, microseconds=start.microsecond)) % _MINUTE
        while True:
            local = moment.astimezone(self.zone)
            if not self.crontab.matches_day(local.date()):
                day = self.crontab.next_day(local.date() + timedelta(days=1))
                if day is None:
                    return None
                moment = max(moment + _MINUTE, _instant(datetime(day.year, day.month, day.day), self.zone))  # noqa: DTZ001
            elif local.minute in self.crontab.minutes:
                return moment
            else:
                moment += _MINUTE


def trigger_for(options: TaskOptions) -> EveryTrigger | CrontabTrigger | None:
    """The trigger of a periodic task, `None` for one that is not periodic."""
    if options.every_s is not None:
        return EveryTrigger(timedelta(seconds=options.every_s))
    if options.cron is not None:
        return CrontabTrigger(cron.parse(options.cron), ZoneInfo(options.timezone))
    return None


def next_fire(options: TaskOptions, after_us: int) -> int | None:
    """The first instant after `after_us` at which the task is due, both microseconds since 1970; `None` for never."""
    trigger = trigger_for(options)
    if trigger is None:
        return None
    instant = trigger.get_next_fire_time(None, _EPOCH + timedelta(microseconds=after_us + 1))
    return (instant - _EPOCH) // _MICROSECOND if instant is not None else None


def _start(previous_fire_time: datetime | None, now: datetime) -> datetime:
    start = now if previous_fire_time is None else max(now, previous_fire_time + _MICROSECOND)
    return start.astimezone(UTC)


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
