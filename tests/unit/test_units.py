"""Durations, sizes and instants."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import InvalidOptionError
from runner.units import describe_seconds, instant, rfc3339, seconds, size_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200ms", 0.2),
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("3d", 259_200),
        ("1.5h", 5400),
        ("1m 30s", 90),
        ("0s", 0),
    ],
)
def test_durations_are_read(text, expected):
    assert seconds(text, "timeout") == expected


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        " ",
        "5",
        "s",
        "1x",
        "30m1h",
        "1h1h",
        "-5s",
        "+5s",
        "1e3s",
        ".5s",
        "1..5s",
        "1,5s",
        "\uff19s",
        "\ud800",
        "inf",
    ],
)
def test_what_is_no_duration_is_refused_by_name(wrong):
    with pytest.raises(InvalidOptionError, match=r"^timeout must be a duration such as "):
        seconds(wrong, "timeout")


def test_a_bare_number_is_refused_with_the_fix():
    with pytest.raises(InvalidOptionError, match=r'^timeout must have a unit: write "90s" or "90ms", not 90$'):
        seconds(90, "timeout")


@pytest.mark.parametrize("wrong", [None, True, b"5s", [], timedelta(seconds=-1), timedelta(days=99_999), "99999999d"])
def test_other_types_and_ranges_are_refused(wrong):
    with pytest.raises(InvalidOptionError, match=r"^timeout must"):
        seconds(wrong, "timeout")


@given(st.timedeltas(timedelta(0), timedelta(days=36_500)))
def test_a_timedelta_keeps_its_length(length):
    assert seconds(length, "after") == length.total_seconds()


@given(
    st.integers(0, 99),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 59),
    st.integers(0, 999),
)
def test_parts_add_up(days, hours, minutes, whole, milliseconds):
    text = f"{days}d{hours}h{minutes}m{whole}s{milliseconds}ms"
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=whole, milliseconds=milliseconds)

    assert seconds(text, "after") == length.total_seconds()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10B", 10),
        ("64KB", 65_536),
        ("256MB", 1 << 28),
        ("1GB", 1 << 30),
        ("1GiB", 1 << 30),
        ("1.5gb", 3 << 29),
        ("1 MB", 1 << 20),
    ],
)
def test_sizes_are_read(text, expected):
    assert size_bytes(text, "memory") == expected


@pytest.mark.parametrize("wrong", ["", "10", "MB", "-1MB", "1M", "1e3MB", "9999999TB", 5, 5.5, None, True])
def test_what_is_no_size_is_refused_by_name(wrong):
    with pytest.raises(InvalidOptionError, match=r"^memory must"):
        size_bytes(wrong, "memory")


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.timezones()))  # noqa: DTZ001
def test_an_instant_goes_to_text_and_back(moment):
    us = instant(moment, "at")

    assert instant(rfc3339(us), "at") == us
    assert datetime.fromisoformat(rfc3339(us)) == moment.astimezone(UTC)


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_every_microsecond_is_kept(us):
    assert instant(rfc3339(us), "at") == us


def test_instants_are_written_for_people():
    assert rfc3339(1_795_208_400_123_456) == "2026-11-20T21:00:00.123456Z"
    assert instant("2026-11-20t22:00:00.123456789+01:00", "at") == 1_795_208_400_123_456
    assert instant(datetime(2026, 11, 20, 22, tzinfo=timezone(timedelta(hours=1))), "at") == 1_795_208_400_000_000


@pytest.mark.parametrize("naive", [datetime(2026, 1, 1), "2026-01-01T00:00:00"])  # noqa: DTZ001
def test_a_naive_instant_is_refused_with_the_fix(naive):
    with pytest.raises(InvalidOptionError, match=r"^at is 2026-01-01.*without a time zone"):
        instant(naive, "at")


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "now",
        "2026-W01-1",
        "20260101T000000Z",
        "2026-01-01T25:00:00Z",
        "2026-02-30T00:00:00Z",
        5,
        None,
        date(2026, 1, 1),
    ],
)
def test_what_is_no_instant_is_refused_by_name(wrong):
    with pytest.raises(InvalidOptionError, match=r"^at must be an aware datetime or RFC 3339"):
        instant(wrong, "at")


def test_an_instant_beyond_the_calendar_is_refused():
    with pytest.raises(InvalidOptionError, match="outside the years"):
        instant("9999-12-31T23:59:59-10:00", "at")


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "0ms"),
        (0.25, "250ms"),
        (0.9999, "1s"),
        (1, "1s"),
        (1.5, "1.5s"),
        (59.99, "1m"),
        (90, "1m 30s"),
        (3600, "1h"),
        (93_784, "1d 2h"),
        (259_200, "3d"),
        (float("inf"), "for ever"),
    ],
)
def test_lengths_are_described(length, text):
    assert describe_seconds(length) == text


@given(st.integers(0, 59), st.integers(1, 59))
def test_a_description_of_two_units_can_be_read_again(whole, minutes):
    assert seconds(describe_seconds(minutes * 60 + whole), "x") == minutes * 60 + whole


def test_utc_is_one_place():
    assert instant(datetime(1970, 1, 1, tzinfo=UTC), "at") == 0
