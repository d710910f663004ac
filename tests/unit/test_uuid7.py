"""Ids that sort by time."""

from __future__ import annotations

import time
import uuid
from threading import Thread

from runner import uuid7 as module
from runner.uuid7 import uuid7


def test_it_is_a_uuid_of_version_7_with_the_time_in_it():
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(uuid7())

    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000 + 1


def test_each_is_greater_than_the_one_before():
    made = [uuid7() for _ in range(20_000)]

    assert made == sorted(set(made))


def test_a_clock_that_goes_back_does_not_undo_the_order(monkeypatch):
    before = uuid7()
    monkeypatch.setattr(module.time, "time_ns", lambda: 0)

    assert uuid7() > before


def test_threads_never_make_the_same():
    made = []
    threads = [Thread(target=lambda: made.extend(uuid7() for _ in range(2000))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 16_000
