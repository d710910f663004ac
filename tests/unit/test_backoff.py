from __future__ import annotations

from itertools import islice

from runner.backoff import pauses


def test_each_pause_is_twice_the_one_before_up_to_the_longest_less_a_part_by_chance() -> None:
    longest = [1, 2, 4, 5, 5, 5]

    for _ in range(100):
        for pause_s, most_s in zip(pauses(1, 5), longest, strict=False):
            assert most_s / 2 <= pause_s <= most_s


def test_two_who_begin_together_do_not_try_together() -> None:
    assert list(islice(pauses(1, 5), 5)) != list(islice(pauses(1, 5), 5))
