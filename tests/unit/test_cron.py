"""Cron lines mean what crontab(5) says."""

from __future__ import annotations

import itertools
from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.cron import parse
from runner.errors import InvalidOptionError


@pytest.mark.parametrize("sunday", ["0", "7", "sun", "SUN", "6-7", "sat-sun"])
def test_sunday_has_all_its_names(sunday):
    assert parse(f"0 0 * * {sunday}").matches_day(date(2026, 11, 22))


@pytest.mark.parametrize("only", ["0-0", "sun-sun", "0-0/1", "7-7", "0-sun", "7-sun", "7-0", "sun-0/3", "*/7"])
def test_a_range_from_sunday_to_sunday_is_sunday(only):
    assert parse(f"0 0 * * {only}").weekdays == {0}


@pytest.mark.parametrize("names", [range(8), (*"01234567", "sun", "mon", "tue", "wed", "thu", "fri", "sat")])
@pytest.mark.parametrize("step", [None, 1, 2, 3, 5, 7])
def test_a_range_of_weekdays_is_what_counting_through_the_week_gives(names, step):
    """crontab(5): a range is inclusive, a step counts from its beginning, and Sunday is 0 and 7."""
    number = {name: index for index, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
    for first, last in itertools.product(map(str, names), repeat=2):
        low, high = (number.get(name, name) for name in (first, last))
        low, high = int(low), int(high)
        if low > 0 == high:
            high = 7
        line = f"0 0 * * {first}-{last}" + ("" if step is None else f"/{step}")
        if low > high:
            with pytest.raises(InvalidOptionError, match="ends before it begins"):
                parse(line)
            continue
        days, day = set(), low
        while day <= high:
            days.add(day % 7)
            day += step or 1
        assert parse(line).weekdays == days, line


def test_monday_is_one():
    assert parse("0 0 * * 1").next_day(date(2026, 11, 20)) == date(2026, 11, 23)
    assert parse("0 7 * * mon-fri").weekdays == {1, 2, 3, 4, 5}


def test_two_restricted_days_are_joined_by_or():
    crontab = parse("0 0 13 * fri")

    assert crontab.matches_day(date(2026, 11, 13))  # both
    assert crontab.matches_day(date(2026, 12, 13))  # a Sunday
    assert crontab.matches_day(date(2026, 11, 20))  # a Friday


def test_a_stepped_star_is_not_a_restriction():
    crontab = parse("0 0 */2 * fri")

    assert crontab.matches_day(date(2026, 11, 13))
    assert not crontab.matches_day(date(2026, 11, 20))


@pytest.mark.parametrize(
    ("macro", "line"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@ANNUALLY", "0 0 1 1 *"),
    ],
)
def test_macros_stand_for_lines(macro, line):
    assert parse(macro) == parse(line)


def test_lists_ranges_and_steps():
    crontab = parse("0-10/5,30,58-59 */8 1,15 jan-mar,12 *")

    assert crontab.minutes == (0, 5, 10, 30, 58, 59)
    assert crontab.hours == (0, 8, 16)
    assert crontab.days == {1, 15}
    assert crontab.months == {1, 2, 3, 12}


def test_leap_days_are_found_across_a_century_without_one():
    assert parse("0 12 29 2 *").next_time(datetime.fromisoformat("2097-01-01")) == datetime.fromisoformat(
        "2104-02-29 12:00"
    )
    assert parse("0 12 29 2 *").next_day(date(9998, 1, 1)) is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "five fields"),
        ("* * * *", "got 4"),
        ("0 0 * * * *", "got 6"),
        ("60 * * * *", "from 0 to 59"),
        ("* 24 * * *", "from 0 to 23"),
        ("* * 0 * *", "from 1 to 31"),
        ("* * * 13 *", "or a name such as jan"),
        ("* * * * 8", "or a name such as sun"),
        ("* * * * monday", "day of week"),
        ("5/15 * * * *", "5-59/15"),
        ("*/0 * * * *", "a step"),
        ("*/ * * * *", "a step"),
        ("*/-1 * * * *", "a step"),
        ("22-2 * * * *", "ends before it begins"),
        ("1,,2 * * * *", "not a number"),
        ("1- * * * *", "not a number"),
        ("*-5 * * * *", "not a number"),
        ("+1 * * * *", "not a number"),
        ("\u0661 * * * *", "not a number"),
        ("0 0 L * *", "not a number"),
        ("@reboot", "@hourly"),
        ("0 0 31 2 *", "can never fire"),
        ("0 0 30,31 feb *", "can never fire"),
        ("0 0 31 4,6,9,11 */2", "can never fire"),
    ],
)
def test_a_wrong_line_is_refused_with_the_reason(line, says):
    with pytest.raises(InvalidOptionError, match=r"^tasks\.x\.cron") as refused:
        parse(line, "tasks.x.cron")

    assert says in str(refused.value)


def test_an_impossible_day_is_fine_beside_a_weekday():
    assert parse("0 0 31 2 mon").next_day(date(2026, 2, 1)) == date(2026, 2, 2)


@given(st.text(alphabet="0123456789*/,-@ monsunjafebdily", max_size=40))
def test_any_text_is_parsed_or_refused(line):
    try:
        crontab = parse(line)
    except InvalidOptionError:
        return
    assert crontab.next_time(datetime.fromisoformat("2026-01-01")) is not None
