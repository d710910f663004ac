"""What a task prints and logs: kept with its run, with times, bounded, and never able to forge a line."""

from __future__ import annotations

import asyncio
from pathlib import Path

from runner.app import APP
from support.nodes import running_node
from support.projects import CONFIG, write_project

TASKS = r"""
    import logging, os, sys, time
    from runner import task

    @task
    def speaks():
        print("to stdout")
        print("to stderr", file=sys.stderr)
        logging.getLogger("shop").warning("two\nlines")
        os.write(1, b"raw \xff bytes\nand no end")

    @task
    def forges():
        print("\x1b[2Jcleared\r2026-01-01 ERROR forged\x00\u2028next")

    @task
    def floods():
        chunk = b"x" * 1000 + b"\n"
        for _ in range(20000):
            os.write(1, chunk)
        os.write(1, b"the last line")
        logging.info("the last record")
        return "flooded"

    @task
    def bursts():
        for number in range(100_000):
            print(number)
        logging.getLogger().setLevel("DEBUG")
        for number in range(20_000):
            logging.debug(number)
        print("the last line")

    @task
    def bursts_and_hangs():
        os.write(1, b"".join(b"%d\n" % number for number in range(10_000)) + b"no end")
        while True:
            time.sleep(60)

    @task
    def is_wide():
        print("\u20ac" * 6000)
        print("x" + "\U0001f600" * 9000, file=sys.stderr)

    @task
    def dots():
        os.write(2, b"\r1%\r2%\r")
        while True:
            os.write(1, b".")
            time.sleep(0.2)

    @task
    def floods_for_ever():
        while True:
            os.write(1, b"x" * 65536)

    @task
    def steps():
        for step in range(3):
            print("step", step, flush=True)
            time.sleep(0.05)

    @task
    def well():
        return "well"
"""


async def test_every_stream_is_kept_line_by_line(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"talk.py": TASKS})) as node:
        run = await node.run("talk.speaks")
        lines = (await node.store.logs(APP, run["id"])).lines

        said = {(line.stream, line.level, line.text) for line in lines}
        assert said == {
            ("stdout", None, "to stdout"),
            ("stderr", None, "to stderr"),
            ("logging", "WARNING", "shop: two"),
            ("logging", "WARNING", "lines"),
            ("stdout", None, "raw \\xff bytes"),
            ("stdout", None, "and no end"),
        }
        assert all(line.attempt == 1 and line.at > 1_700_000_000_000_000 for line in lines)


async def test_control_characters_cannot_forge_a_line(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"talk.py": TASKS})) as node:
        run = await node.run("talk.forges")

        lines = (await node.store.logs(APP, run["id"])).lines

        # A return ends a line as a newline does: what follows has a time and a stream of its own.
        assert [(line.stream, line.text) for line in lines] == [
            ("stdout", r"\x1b[2Jcleared"),
            ("stdout", r"2026-01-01 ERROR forged\x00\u2028next"),
        ]


async def test_of_a_burst_below_the_limit_nothing_is_lost(tmp_path: Path) -> None:
    config = CONFIG + '[limits]\nlog = "20MB"\n'
    async with running_node(write_project(tmp_path, {"talk.py": TASKS}, config)) as node:
        run = await node.run("talk.bursts")
        lines = (await node.store.logs(APP, run["id"], limit=200_000)).lines

    said = [line.text for line in lines if line.stream == "stdout"]
    assert said == [*map(str, range(100_000)), "the last line"]
    assert [line.text for line in lines if line.stream == "logging"] == list(map(str, range(20_000)))
    assert len(lines) == 120_001


async def test_what_was_written_before_a_timeout_is_there(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"talk.py": TASKS})) as node:
        run = await node.run("talk.bursts_and_hangs", timeout="300ms", retry={"attempts": 1})
        lines = (await node.store.logs(APP, run["id"], limit=20_000)).lines

    assert run["reason"] == "timeout"
    assert [line.text for line in lines] == [*map(str, range(10_000)), "no end"]


async def test_a_long_line_is_cut_between_characters_and_its_pieces_are_told(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"talk.py": TASKS})) as node:
        run = await node.run("talk.is_wide")
        lines = (await node.store.logs(APP, run["id"])).lines

    for stream, text in (("stdout", "\u20ac" * 6000), ("stderr", "x" + "\U0001f600" * 9000)):
        pieces = [line for line in lines if line.stream == stream]
        assert "".join(piece.text for piece in pieces) == text
        assert [piece.continuation for piece in pieces] == [False, *[True] * (len(pieces) - 1)]
        assert len(pieces) > 1


async def test_a_progress_bar_and_dots_are_seen_while_the_run_goes_on(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"talk.py": TASKS})) as node:
        run = await node.schedule("talk.dots")
        seen = []
        async with asyncio.timeout(20):
            async for line in node.operations.follow(APP, run["id"], 0):
                seen.append(line)
                if line.continuation:
                    break
        await node.operations.cancel(APP, run["id"])
        await node.ended(run["id"])

    assert [line.text for line in seen if line.stream == "stderr"] == ["1%", "2%"]
    first, second = (line for line in seen if line.stream == "stdout")
    assert set(first.text + second.text) == {"."}
    assert not first.continuation


async def test_a_flood_is_cut_and_marked(tmp_path: Path) -> None:
    config = CONFIG + '[limits]\nlog = "100KB"\n'
    async with running_node(write_project(tmp_path, {"talk.py": TASKS}, config)) as node:
        run = await node.run("talk.floods")
        lines = (await node.store.logs(APP, run["id"], limit=5000)).lines

        assert run["result"] == "flooded"
        [cut, dropped] = (place for place, line in enumerate(lines) if line.stream == "system")
        assert lines[cut].text.startswith("the log is cut here")
        assert "bytes were dropped, before these last lines" in lines[dropped].text
        assert cut + 1 == dropped
        assert sum(len(line.text) for line in lines[:cut]) <= 100 << 10
        last = [line.text for line in lines[dropped + 1 :]]
        assert set(last) == {"x" * 1000, "the last line", "the last record"}
        assert sum(map(len, last)) <= 2 * (8 << 10)


async def test_a_flood_delays_nobody_else(tmp_path: Path) -> None:
    config = CONFIG + '[limits]\nlog = "100KB"\n'
    async with running_node(write_project(tmp_path, {"talk.py": TASKS}, config)) as node:
        flood = await node.schedule("talk.floods_for_ever")
        for _ in range(5):
            assert (await node.run("talk.well", within_s=20))["result"] == "well"
        await node.operations.cancel(APP, flood["id"])
        assert (await node.ended(flood["id"]))["status"] == "cancelled"


async def test_a_follower_gets_every_line_and_then_the_end(tmp_path: Path) -> None:
    async with running_node(write_project(tmp_path, {"talk.py": TASKS})) as node:
        run = await node.schedule("talk.steps")
        async with asyncio.timeout(20):
            lines = [line.text async for line in node.operations.follow(APP, run["id"], 0)]

        assert lines == ["step 0", "step 1", "step 2"]
