"""Scheduling and waiting from inside a task."""

from __future__ import annotations

import pytest


class Runner:
    """Answers calls as the runner would, from memory."""

    def __init__(self) -> None:
        self.requests = []

    def __call__(self, call):
        arguments = call["arguments"]
        match call["method"]:
            case "schedule":
                self.requests += arguments["runs"]
                return {"result": [self.document(run["id"]) for run in arguments["runs"]]}
            case "show" if arguments["run"] == "missing":
                return {"error": {"code": "not-found", "message": "no run missing"}}
            case "show":
                return {"result": self.document(arguments["run"], "running")}
            case "wait" if arguments["timeout"] is not None:
                return {"result": self.document(arguments["run"], "running")}
        failed = next((run["task"] == "fails" for run in self.requests if run["id"] == arguments["run"]), False)
        return {"result": self.document(arguments["run"], "failed" if failed else "succeeded")}

    def document(self, run, status="queued"):
        task = next((request["task"] for request in self.requests if request["id"] == run), "other")
        why = "raised an error" if status == "failed" else None
        reason = "error" if status == "failed" else None
        return {"id": run, "task": task, "status": status, "result": [1], "why": why, "reason": reason}


def test_a_task_schedules_and_waits(guest):
    runner = Runner()
    ended = guest.run(
        """
        from runner import scheduleTask
        def run():
            handle = scheduleTask("other", {"a": (1, 2)}, after="90s", tags=["x"], with_success=True)
            return [handle.id, handle.task, handle.status(), handle.is_completed(), handle.result()]
        """,
        reply=runner,
    )

    [request] = runner.requests
    assert ended.result == [request.pop("id"), "other", "running", False, [1]]
    assert request == {
        "task": "other", "parameters": {"a": [1, 2]}, "after": "90s", "tags": ["x"], "with_success": True,
    }  # fmt: skip


def test_an_async_task_may_await_or_not(guest):
    ended = guest.run(
        """
        import asyncio
        from runner import scheduleTask, schedule_tasks
        async def run():
            first = await scheduleTask(task="a")
            second, third = schedule_tasks([{"task": "b"}, {"task": "c"}])
            return await asyncio.gather(*(handle.aresult() for handle in (first, second, third)))
        """,
        reply=Runner(),
    )

    assert ended.result == [[1], [1], [1]]


def test_a_run_that_failed_raises_its_reason(guest):
    ended = guest.run(
        """
        from runner import RunFailedError, scheduleTask
        def run():
            try:
                scheduleTask("fails").result()
            except RunFailedError as error:
                return [error.reason, str(error).partition(" of ")[2]]
        """,
        reply=Runner(),
    )

    assert ended.result == ["error", "task fails failed: raised an error"]


def test_waiting_ends_with_its_time(guest):
    error = guest.run(
        """
        from runner import scheduleTask
        def run():
            scheduleTask("slow").result(timeout="1m 30s")
        """,
        reply=Runner(),
    ).error

    assert error["type"] == "WaitTimeoutError"
    assert "is running after 1m 30s of waiting" in error["message"]


def test_a_refusal_of_the_runner_is_raised_as_its_own_kind(guest):
    error = guest.run("from runner import getRun\ndef run():\n    getRun('missing')", reply=Runner()).error

    assert (error["type"], error["message"]) == ("NotFoundError", "no run missing")


def test_many_threads_call_at_once_and_each_gets_its_own_reply(guest):
    ended = guest.run(
        """
        import threading
        from runner import getRun
        def run():
            found = {}
            def ask(number):
                for _ in range(50):
                    found[number] = getRun(f"run-{number}").id
            threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            return all(found[number] == f"run-{number}" for number in range(8))
        """,
        reply=Runner(),
    )

    assert ended.result is True
    assert len(ended.of("call")) == 400


@pytest.mark.parametrize("wait", ["def run():\n    handle.result()", "async def run():\n    await handle.aresult()"])
def test_a_runner_that_is_gone_is_said(guest, wait):
    runner = Runner()

    def hang_up_on_wait(call):
        return None if call["method"] == "wait" else runner(call)

    ended = guest.run("from runner import getRun\nhandle = getRun('x')\n" + wait, reply=hang_up_on_wait)

    assert ended.error["type"] == "TransportError"


def test_a_call_after_the_runner_has_gone_is_refused_at_once(guest):
    ended = guest.run(
        """
        from runner import TransportError, getRun
        def run():
            refused = 0
            for _ in range(3):
                try:
                    getRun("x")
                except TransportError:
                    refused += 1
            return refused
        """,
        reply=lambda _: None,
    )

    assert ended.result == 3


def test_a_batch_that_no_frame_carries_is_refused_before_it_is_sent(guest):
    ended = guest.run(
        """
        from runner import scheduleTasks
        def run():
            scheduleTasks([{"task": "a", "parameters": {"text": "x" * 90_000}}] * 200)
        """,
        reply=Runner(),
    )

    assert ended.error["type"] == "LimitExceededError"
    assert "smaller batches" in ended.error["message"]
    assert ended.of("call") == []


def test_parameters_over_the_limit_are_refused_at_the_call(guest):
    error = guest.run("from runner import scheduleTask\ndef run():\n    scheduleTask('a', {'x': 'y' * 200_000})").error

    assert "parameters takes more than 100000 bytes" in error["message"]


def test_a_process_that_was_forked_cannot_call(guest):
    ended = guest.run(
        """
        import os
        from runner import RunnerError, getRun
        def run():
            child = os.fork()
            if child == 0:
                try:
                    getRun("x")
                except RunnerError:
                    os._exit(5)
                os._exit(0)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        """,
        reply=Runner(),
    )

    assert ended.result == 5
