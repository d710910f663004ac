"""Patterns cover what a regular expression of the same meaning covers, and never take long about it."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from runner.config.patterns import grants, matches

LETTERS = st.text("ab.\n", max_size=12)


@given(pattern=st.text("ab.\n*", max_size=10), name=LETTERS)
def test_a_pattern_covers_what_its_regular_expression_covers(pattern: str, name: str) -> None:
    written = ".*".join(re.escape(part) for part in pattern.split("*"))

    assert matches(pattern, name) == (re.fullmatch(written, name, re.DOTALL) is not None)


def test_many_stars_come_to_an_end() -> None:
    """A regular expression goes on for years."""
    assert not matches("*a" * 99 + "*b", "a" * 100_000)
    assert not matches("*" * 200 + "b", "a" * 100_000)


@given(patterns=st.lists(st.text("ab*", max_size=4), max_size=3), task=LETTERS, origin=LETTERS)
def test_a_chosen_name_is_granted_nothing_that_its_origin_is_not(patterns: list[str], task: str, origin: str) -> None:
    assert grants(patterns, task, origin) <= grants(patterns, origin, origin)
