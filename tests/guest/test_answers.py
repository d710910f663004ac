"""What a task returns, and what it prints before."""

from __future__ import annotations

import pytest


def test_a_plain_function_needs_no_import_of_ours(guest):
    ended = guest.run(
        """
        def run(parameters):
            print("hello", parameters["name"])
            return {"greeted": parameters["name"]}
        """,
        {"name": "Ada"},
    )

    assert ended.frames == [{"type": "response", "result": {"greeted": "Ada"}}]
    assert (ended.stdout, ended.stderr, ended.exit_code) == ("hello Ada\n", "", 0)


def test_an_async_function_is_awaited_and_what_it_left_running_is_cancelled(guest):
    ended = guest.run(
        """
        import asyncio
        async def forever():
            try:
                await asyncio.sleep(3600)
            finally:
                print("cancelled")
        async def run():
            task = asyncio.create_task(forever())
            await asyncio.sleep(0)
            return "done"
        """
    )

    assert ended.result == "done"
    assert ended.stdout == "cancelled\n"


def test_a_sync_function_under_an_async_decorator_is_awaited(guest):
    ended = guest.run(
        """
        import functools
        async def work():
            return 1
        def run():
            return work()
        """
    )

    assert ended.result == 1


@pytest.mark.parametrize("arguments", ["", "parameters", "parameters, context", "parameters=None, context=None, x=1"])
def test_it_is_called_with_what_it_takes(guest, arguments):
    ended = guest.run(f"def run({arguments}):\n    return sorted(locals())")

    assert ended.result == sorted(name.split("=")[0] for name in arguments.split(", ") if name)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("def run(a, b, c): ...", "run needs c too"),
        ("def run(a, *, strict): ...", "run needs strict too"),
        ("def run(*everything): ...", "run takes *arguments"),
        ("def run():\n    yield 1", "run is a generator"),
        ("async def run():\n    yield 1", "run is an async generator"),
    ],
)
def test_a_function_that_cannot_be_called_so_is_named(guest, definition, message):
    assert message in guest.run(definition).error["message"]
    assert message in guest.discover(definition).error["message"]


def test_the_context_says_which_attempt_this_is(guest):
    ended = guest.run(
        """
        def run(parameters, context):
            context.progress(0.5, "half \\ud800")
            return [context.run, context.id, context.attempt, context.fence, context.task, context.queue, context.app,
                    list(context.tags), context.deadline, context.remaining() > 1e9]
        """
    )

    run = "019a0000-0000-7000-8000-000000000000"
    assert ended.result == [run, run, 2, 17, "job", "lane", "main", ["a"], None, True]
    assert ended.of("progress") == [{"type": "progress", "fraction": 0.5, "text": "half \\ud800"}]


def test_the_context_counts_down_to_the_deadline(guest):
    ended = guest.run(
        """
        import time
        def run(parameters, context):
            return [context.deadline.isoformat(), context.remaining() == 0]
        """,
        context={"deadline": 1_700_000_000.5},
    )

    assert ended.result == ["2023-11-14T22:13:20.500000+00:00", True]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("{'x': [1, {2}]}", 'result["x"][1] is a set'),
        ("float('nan')", "result is nan"),
        ("{'a': 'x\\ud800'}", 'result["a"] has'),
        ("'x' * 20_000", "result takes more than 10000 bytes"),
        ("object()", "result is an object"),
        ("{1: 2}", "result has a key that is an int"),
    ],
)
def test_a_result_that_is_not_json_is_an_error_that_names_the_place(guest, result, message):
    error = guest.run(f"def run():\n    return {result}").error

    assert error["type"] == "InvalidValueError"
    assert message in error["message"]


def test_a_thread_that_never_ends_does_not_hold_back_the_response(guest):
    ended = guest.run(
        """
        import asyncio, threading
        async def run():
            threading.Thread(target=threading.Event().wait).start()
            asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
            return "here"
        """
    )

    assert ended.result == "here"


def test_what_was_printed_is_handed_over_before_the_response(guest):
    ended = guest.run(
        """
        import sys
        def run():
            print("half \\ud800", end="")
            print("\\udcff wrong", file=sys.stderr, end="")
        """
    )

    assert (ended.stdout, ended.stderr) == ("half \\ud800", "\\udcff wrong")


def test_closed_and_replaced_streams_are_no_harm(guest):
    ended = guest.run(
        """
        import sys
        class Broken:
            def flush(self):
                sys.exit(3)
            write = None
        def run():
            sys.stdout.close()
            sys.stderr = Broken()
            return 1
        """
    )

    assert ended.result == 1


def test_a_process_that_comes_back_from_a_fork_answers_nothing(guest):
    ended = guest.run(
        """
        import os
        def run():
            child = os.fork()
            if child:
                os.waitpid(child, 0)
            return "parent" if child else "child"
        """
    )

    assert [frame["result"] for frame in ended.frames] == ["parent"]


def test_the_process_looks_like_its_own(guest):
    ended = guest.run(
        """
        import sys
        def run():
            main = sys.modules["__main__"]
            return [sys.argv, main.__spec__, hasattr(main, "__file__"), __name__]
        """
    )

    assert ended.result == [["tasks.job"], None, False, "tasks.job"]


def test_a_process_that_is_spawned_by_multiprocessing_finds_the_task(guest):
    ended = guest.run(
        """
        import multiprocessing
        def double(number):
            return number * 2
        def run():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return pool.map(double, [1, 2])
        """
    )

    assert ended.result == [2, 4]


@pytest.mark.parametrize(
    ("way", "code"),
    [("sys.exit()", 0), ("sys.exit(7)", 7), ("sys.exit('bye')", 1), ("os._exit(9)", 9), ("raise SystemExit(300)", 44)],
)
def test_leaving_is_no_response(guest, way, code):
    ended = guest.run(f"import os, sys\ndef run():\n    print('so far')\n    {way}")

    assert ended.frames == []
    assert ended.exit_code == code


def test_leaving_an_async_task_is_no_response(guest):
    ended = guest.run("import sys\nasync def run():\n    sys.exit(7)")

    assert (ended.frames, ended.exit_code) == ([], 7)


def test_an_answer_that_cannot_be_sent_ends_in_failure(guest):
    ended = guest.run(
        """
        import os, stat
        def run():
            for number in range(3, 100):
                try:
                    if stat.S_ISSOCK(os.fstat(number).st_mode):
                        os.close(number)
                except OSError:
                    pass
        """
    )

    assert ended.frames == []
    assert ended.exit_code == 1
