"""Reading: one run, pages of runs, counts, ancestors."""

from __future__ import annotations

import pytest

from runner.domain.options.run_filter import FILTERS, RunFilter
from runner.domain.status import Status
from runner.errors import InvalidOptionError
from support.stores import START, new_run


async def _ids(desk, **wanted) -> list[str]:
    found, cursor = [], None
    while True:
        page = await desk.store.list(RunFilter(app="main", cursor=cursor, **{"limit": 2, **wanted}))
        found += [item.run.id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


async def test_pages_are_newest_first_and_hold_each_run_once(desk) -> None:
    ids = [(await desk.enqueue()).id for _ in range(7)]

    assert await _ids(desk) == ids[::-1]
    assert await _ids(desk, limit=7) == ids[::-1]


async def test_every_filter_and_their_combinations_find_what_they_say(desk) -> None:
    runs = [
        await desk.enqueue(
            task="ab"[number % 2],
            queue=[None, "q", "r"][number % 3],
            tags=("even",) if number % 2 == 0 else ("odd", "more"),
            due_at=START + (number % 4 == 3),
        )
        for number in range(24)
    ]
    runs = [(await desk.detail(run)).run for run in runs][::-1]
    choices = {
        "task": ["a", None],
        "queue": ["q", None],
        "tag": ["odd", "even", None],
        "status": [frozenset({Status.SCHEDULED}), frozenset({Status.SCHEDULED, Status.QUEUED}), None],
    }
    assert choices.keys() == FILTERS.keys()
    combinations = [{}]
    for name, values in choices.items():
        combinations = [{**each, name: value} for each in combinations for value in values]

    for wanted in combinations:
        expected = [
            run.id
            for run in runs
            if (wanted["task"] in (None, run.task))
            and (wanted["queue"] in (None, run.queue))
            and (wanted["tag"] is None or wanted["tag"] in run.tags)
            and (wanted["status"] is None or run.status in wanted["status"])
        ]
        assert await _ids(desk, **wanted) == expected, wanted


async def test_a_list_shows_one_app_only(desk) -> None:
    await desk.enqueue(app="other")

    assert await _ids(desk) == []


async def test_a_page_ends_early_once_it_is_heavy(desk) -> None:
    heavy = '{"x": "' + "x" * 3_000_000 + '"}'
    await desk.store.enqueue([new_run(parameters=heavy) for _ in range(5)])

    page = await desk.store.list(RunFilter(app="main"))

    assert len(page.items) == 2
    assert len(await _ids(desk, limit=50)) == 5


@pytest.mark.parametrize(
    "cursor", ["x", "cnVuOng=", "cXVldWU6MQ==", "\ud800", "cnVuOi0x", "cnVuOjk5OTk5OTk5OTk5OTk5OTk5OTk5"]
)
async def test_a_cursor_that_is_not_ours_is_refused(desk, cursor) -> None:
    with pytest.raises(InvalidOptionError, match="cursor"):
        await desk.store.list(RunFilter(app="main", cursor=cursor))


async def test_a_cursor_of_queues_that_is_not_ours_is_refused(desk) -> None:
    with pytest.raises(InvalidOptionError, match="cursor"):
        await desk.store.queues("main", "cnVuOjE=")


async def test_counts_follow_every_change_of_status(desk) -> None:
    await desk.store.enqueue([new_run(), new_run(), new_run(due_at=START + 1), new_run(task="b")])
    first, second = await desk.claim(2)
    await desk.end(first)
    await desk.retry(second, due_in_s=9)

    assert await desk.store.count("main") == {
        Status.SUCCEEDED: 1,
        Status.RETRYING: 1,
        Status.QUEUED: 1,
        Status.SCHEDULED: 1,
    }
    assert await desk.store.count("empty") == {}


async def test_ancestors_go_from_the_run_up(desk) -> None:
    grand = await desk.enqueue()
    parent = await desk.enqueue(parent=grand.id)
    child = await desk.enqueue(parent=parent.id)

    assert [run.id for run in await desk.store.ancestors("main", child.id)] == [child.id, parent.id, grand.id]


async def test_ancestors_of_runs_that_name_each_other_come_to_an_end(desk) -> None:
    first, second = new_run(id="first", parent="second"), new_run(id="second", parent="first")
    await desk.store.enqueue([first, second])

    assert {run.id for run in await desk.store.ancestors("main", "first")} == {"first", "second"}


async def test_several_queues_are_read_at_once_and_those_without_runs_are_empty(desk) -> None:
    for queue, runs in (("one", 1), ("two", 2)):
        for _ in range(runs):
            await desk.enqueue(queue=queue)
    await desk.claim(slots=1)

    states = await desk.store.named_queues("main", {"one", "two", "never"})

    assert {name: (state.waiting, len(state.holders)) for name, state in states.items()} == {
        "one": (0, 1),
        "two": (2, 0),
        "never": (0, 0),
    }
    assert await desk.store.named_queues("main", set()) == {}
