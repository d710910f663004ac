"""Retry policies: what they accept, and the delays that they give."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.retry import Retry
from runner.errors import InvalidOptionError

policies = st.builds(
    Retry,
    attempts=st.none() | st.integers(1, 1000),
    first=st.sampled_from(["1ms", "1s", "30s"]),
    max=st.sampled_from(["1s", "10m", "3d"]),
    factor=st.floats(1, 100),
    jitter=st.floats(0, 1),
    on=st.lists(st.sampled_from(["error", "timeout", "out_of_memory", "crash"]), unique=True),
    lost=st.integers(0, 100),
)


def test_the_delay_grows_by_the_factor_up_to_the_longest() -> None:
    policy = Retry(first="1s", max="10s", factor=3, jitter=0)

    assert [policy.delay_s(failures, random.Random()) for failures in (1, 2, 3, 4, 5)] == [1, 3, 9, 10, 10]


@given(policies, st.integers(1, 10**9), st.integers())
def test_a_delay_stays_within_its_jitter_and_never_overflows(policy, failures, seed) -> None:
    exact = Retry(**{**policy.document(), "jitter": 0}).delay_s(failures, random.Random())

    delay = policy.delay_s(failures, random.Random(seed))

    assert exact * (1 - policy.jitter) - 1e-9 <= delay <= exact * (1 + policy.jitter) + 1e-9


@given(policies)
def test_a_policy_passes_through_its_document(policy) -> None:
    assert Retry(**policy.document()) == policy


def test_one_reason_may_be_written_without_a_list() -> None:
    assert Retry(on="crash").on == ("crash",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attempts", 0),
        ("attempts", 1.5),
        ("attempts", True),
        ("attempts", "3"),
        ("attempts", 10**100),
        ("lost", 10**100),
        ("first", "1s" + " " * 1000),
        ("lost", -1),
        ("lost", None),
        ("first", 1),
        ("first", "soon"),
        ("max", None),
        ("factor", 0.5),
        ("factor", float("nan")),
        ("factor", 101),
        ("jitter", 1.1),
        ("jitter", -0.1),
        ("on", ["lost"]),
        ("on", ["success"]),
        ("on", None),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_and_named(name, value) -> None:
    with pytest.raises(InvalidOptionError, match=f"retry.{name}"):
        Retry(**{name: value})


def test_what_is_kept_with_a_run_is_short_however_it_was_written() -> None:
    assert Retry(on=["error", "crash", "error"] * 100_000).on == ("error", "crash")
