"""When periodic tasks fire, compared with a scan of every minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runner.domain.cron import parse
from runner.domain.options.task_options import TaskOptions, merge_options, read_options
from runner.engine.schedules.fire_times import next_fire

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ZONES = ["UTC", "Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Havana"]
#: Around both clock changes of most of these zones, and at the turn of a year.
STARTS = ["2026-03-28", "2026-10-24", "2026-03-07", "2026-10-31", "2026-10-03", "2026-04-04", "2026-12-31"]


def options(**raw):
    return merge_options(read_options(raw))


def firings(task: TaskOptions, start: datetime, end: datetime) -> list[datetime]:
    """All instants at which it fires, from `start` on and before `end`."""
    found, after = [], (start - EPOCH) // timedelta(microseconds=1) - 1
    while (after := next_fire(task, after)) is not None:
        moment = EPOCH + timedelta(microseconds=after)
        if moment >= end:
            break
        found.append(moment)
    return found


def oslo(text):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Oslo")).astimezone(UTC)


def local_firings(line, zone, start, hours=30):
    begin = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = firings(options(cron=line, timezone=zone), begin, begin + timedelta(hours=hours))
    return [moment.astimezone(ZoneInfo(zone)).strftime("%H:%M%z") for moment in found]


def scan(line: str, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """What the line means, minute by minute: the slow way, to compare with."""
    crontab, found, moment = parse(line), [], start
    every_hour = len(crontab.hours) == 24

    def matches(local):
        return crontab.matches_day(local.date()) and local.hour in crontab.hours and local.minute in crontab.minutes

    while moment < end:
        local = moment.astimezone(zone)
        before = (moment - MINUTE).astimezone(zone).replace(tzinfo=None)
        wall = local.replace(tzinfo=None, fold=0)
        skipped = []
        while before + MINUTE < wall:
            before += MINUTE
            skipped.append(before)
        if (matches(wall) and (every_hour or not local.fold)) or (not every_hour and any(map(matches, skipped))):
            found.append(moment)
        moment += MINUTE
    return found


def field(low, high):
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.integers(1, high).map(lambda n: f"*/{n}")
    return st.one_of(
        st.just("*"), step, st.lists(st.one_of(number.map(str), span), min_size=1, max_size=3).map(",".join)
    )


lines = st.tuples(field(0, 59), st.one_of(st.just("*"), field(0, 3)), st.just("*"), st.just("*"), field(0, 7))


@settings(max_examples=150, deadline=None)
@given(lines.map(" ".join), st.sampled_from(ZONES), st.sampled_from(STARTS), st.integers(0, 24 * 60))
@example("30 2 * * *", "Europe/Oslo", "2026-03-28", 0)
@example("30 2 * * *", "Europe/Oslo", "2026-10-24", 0)
@example("*/30 * * * 0", "America/Havana", "2026-10-31", 0)
def test_firings_equal_a_scan_of_every_minute(line, zone, start, offset):
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC) + offset * MINUTE
    end = begin + timedelta(days=2)

    assert firings(options(cron=line, timezone=zone), begin, end) == scan(line, ZoneInfo(zone), begin, end)


@given(st.integers(0, 4 * 10**15), st.integers(1, 10**6))
def test_intervals_count_from_1970(after, length):
    fires = next_fire(options(every=f"{length}s"), after)

    assert after < fires <= after + length * 1_000_000
    assert fires % (length * 1_000_000) == 0


def test_in_spring_a_skipped_time_fires_once_at_the_change():
    assert local_firings("30 2 * * *", "Europe/Oslo", "2026-03-29", hours=23) == ["03:00+0200"]
    assert local_firings("0,30 2 * * *", "America/New_York", "2026-03-08", hours=24) == ["03:00-0400"]


def test_in_autumn_a_repeated_time_fires_once():
    assert local_firings("30 2 * * *", "Europe/Oslo", "2026-10-25", hours=25) == ["02:30+0200"]
    assert local_firings("30 1 * * *", "America/New_York", "2026-11-01", hours=25) == ["01:30-0400"]


def test_a_line_of_every_hour_goes_on_through_both_changes():
    spring = local_firings("30 * * * *", "Europe/Oslo", "2026-03-29", hours=4)
    autumn = local_firings("30 * * * *", "Europe/Oslo", "2026-10-25", hours=4)

    assert spring == ["00:30+0100", "01:30+0100", "03:30+0200", "04:30+0200"]
    assert autumn == ["00:30+0200", "01:30+0200", "02:30+0200", "02:30+0100"]


def test_a_time_in_the_second_pass_waits_for_the_next_day():
    second_pass = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # 02:10 in Oslo, for the second time

    found = firings(options(cron="30 2 * * *", timezone="Europe/Oslo"), second_pass, second_pass + timedelta(hours=49))

    assert found == [oslo("2026-10-26 02:30"), oslo("2026-10-27 02:30")]


def test_it_fires_at_its_first_instant_and_goes_on_after_it():
    eight = datetime(2026, 11, 20, 8, tzinfo=UTC)

    found = firings(options(cron="*/10 8 * * *"), eight, eight + 15 * MINUTE)

    assert found == [eight, eight + 10 * MINUTE]


@pytest.mark.parametrize("rule", [{"cron": "0 0 29 2 *"}, {"every": "36500d"}])
def test_the_end_of_the_calendar_is_never(rule):
    last_day = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)

    assert next_fire(options(**rule), last_day) is None


def test_a_task_without_a_rule_never_fires():
    assert next_fire(options(), 0) is None
