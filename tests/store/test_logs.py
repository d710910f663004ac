"""Logs: in order, with a cursor, apart from everything else."""

from __future__ import annotations

from runner.domain.run import LogLine
from support.stores import START


def _lines(count: int, text: str = "line") -> list[LogLine]:
    return [LogLine(attempt=1, at=START + number, stream="stdout", text=f"{text} {number}") for number in range(count)]


async def test_lines_come_back_in_order_from_any_cursor(desk) -> None:
    await desk.store.append_logs("main", "run", _lines(3))
    await desk.store.append_logs(
        "main", "run", [LogLine(attempt=2, at=START, stream="logging", text="ø\x00", level="INFO", continuation=True)]
    )

    first = await desk.store.logs("main", "run", limit=2)
    rest = await desk.store.logs("main", "run", first.cursor)

    assert [line.text for line in first.lines] == ["line 0", "line 1"]
    assert [line.number for line in (*first.lines, *rest.lines)] == [1, 2, 3, 4]
    last = rest.lines[-1]
    assert (last.attempt, last.stream, last.text, last.level) == (2, "logging", "ø\x00", "INFO")
    assert [line.continuation for line in (*first.lines, *rest.lines)] == [False, False, False, True]
    assert (await desk.store.logs("main", "run", rest.cursor)).cursor == rest.cursor


async def test_lines_that_are_given_again_at_once_are_kept_once(desk, backend) -> None:
    await desk.store.append_logs("main", "run", _lines(2))
    if desk.store.is_shared:  # elsewhere a call that failed has kept nothing
        await desk.store.append_logs("main", "run", _lines(2))
    await desk.store.append_logs("main", "run", _lines(1, "more"))

    assert [line.text for line in (await desk.store.logs("main", "run")).lines] == ["line 0", "line 1", "more 0"]


async def test_runs_and_apps_have_logs_of_their_own(desk) -> None:
    await desk.store.append_logs("main", "run", _lines(1))

    assert (await desk.store.logs("main", "other")).lines == ()
    assert (await desk.store.logs("other", "run")).lines == ()


async def test_appending_nothing_is_fine(desk) -> None:
    await desk.store.append_logs("main", "run", [])


async def test_followers_are_told_when_a_log_grows(desk) -> None:
    await desk.store.append_logs("main", "run", _lines(2))

    assert [notice.logged for notice in desk.notices if notice.logged] == [("run",)]


async def test_logs_outlive_the_process(desk, open_desk) -> None:
    await desk.store.append_logs("main", "run", _lines(2))
    await desk.store.close()

    again = await open_desk()

    await again.store.append_logs("main", "run", _lines(1))
    assert [line.number for line in (await again.store.logs("main", "run")).lines] == [1, 2, 3]
