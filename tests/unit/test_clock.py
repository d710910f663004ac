"""What time it is, where the machine's clock is set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.store.clock import DOUBT_US, SteadyClock

SECOND = 1_000_000
DAY = 86_400 * SECOND
START = 1_700_000_000 * SECOND


def seen_at_start() -> SteadyClock:
    clock = SteadyClock()
    assert clock.saw(START, 0) == START
    return clock


def test_a_clock_that_is_a_day_ahead_for_seconds_is_never_believed() -> None:
    clock = seen_at_start()

    for second in range(1, 13):
        assert clock.saw(START + DAY + second * SECOND, second * SECOND) == START + second * SECOND
    assert clock.saw(START + 13 * SECOND, 13 * SECOND) == START + 13 * SECOND


def test_a_clock_that_stays_ahead_is_followed_after_a_minute() -> None:
    clock = seen_at_start()

    assert clock.saw(START + DAY, SECOND) == START + SECOND
    assert clock.saw(START + DAY + DOUBT_US - 1, SECOND + DOUBT_US - 1) == START + SECOND + DOUBT_US - 1
    assert clock.saw(START + DAY + DOUBT_US, SECOND + DOUBT_US) == START + DAY + DOUBT_US
    assert clock.at(2 * DOUBT_US) == START + DAY + 2 * DOUBT_US - SECOND


def test_a_clock_that_steps_ahead_again_is_doubted_from_the_last_step() -> None:
    clock = seen_at_start()
    clock.saw(START + DAY, 0)

    assert clock.saw(START + 2 * DAY + DOUBT_US - 1, DOUBT_US - 1) == START + DOUBT_US - 1
    assert clock.saw(START + 2 * DAY + DOUBT_US, DOUBT_US) == START + DOUBT_US
    assert clock.saw(START + 2 * DAY + 2 * DOUBT_US, 2 * DOUBT_US) == START + 2 * DAY + 2 * DOUBT_US


def test_a_clock_that_is_set_back_is_followed_at_once() -> None:
    clock = seen_at_start()

    assert clock.saw(START - DAY, SECOND) == START - DAY
    assert clock.at(2 * SECOND) == START - DAY + SECOND


@given(st.lists(st.integers(-500, 500), max_size=50))
def test_a_clock_that_is_sped_up_and_slowed_down_is_followed(drifts_ppm: list[int]) -> None:
    clock, wall = seen_at_start(), START

    for minute, drift in enumerate(drifts_ppm, 1):
        wall += 60 * SECOND + 60 * drift
        assert clock.saw(wall, minute * 60 * SECOND) == wall
