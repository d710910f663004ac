"""The keys of a queue: each is read, shown, and known to the config's documentation."""

from __future__ import annotations

from dataclasses import fields

import pytest

from runner.domain.options.queue_rule import QUEUE_KEYS, QueueRule, read_queue_rule
from runner.errors import InvalidOptionError

#: Of each key a value that is not its default.
SAMPLES = {"concurrency": 3, "order": "strict", "rate": "20/m"}


def test_each_key_is_read_and_shown():
    assert QUEUE_KEYS.keys() == {field.name for field in fields(QueueRule)} == SAMPLES.keys()
    for key, value in SAMPLES.items():
        rule = read_queue_rule({key: value}, "queues.q")

        assert rule != QueueRule()
        assert rule.document() == {**QueueRule().document(), key: value}


@pytest.mark.parametrize(
    ("rate", "interval_us"),
    [(None, 0), ("1000000/s", 1), ("100/m", 600_000), ("5/h", 720_000_000), ("1/d", 86_400_000_000)],
)
def test_a_rate_is_the_shortest_time_between_two_starts(rate, interval_us):
    assert QueueRule(rate=rate).columns()["interval_us"] == interval_us


@pytest.mark.parametrize("rate", ["", "10", "0/s", "05/s", "10/w", "1000001/s", "-1/s", "1.5/s", "1/s/s", 10, None])
def test_what_is_no_rate_is_refused(rate):
    with pytest.raises(InvalidOptionError, match=r"^queues\.q\.rate must be"):
        read_queue_rule({"rate": rate}, "queues.q")


def test_strict_order_is_for_one_at_a_time():
    with pytest.raises(InvalidOptionError, match='order may be "strict" only at concurrency 1: got 2'):
        read_queue_rule({"order": "strict", "concurrency": 2}, "queues.q")
