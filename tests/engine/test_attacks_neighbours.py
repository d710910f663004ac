"""Attack 85: what a task can do to other tasks by way of the runner, and what it grants itself."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.app import APP
from runner.domain.run import NewRun
from runner.errors import InvalidOptionError, UnknownTaskError
from runner.uuid7 import uuid7
from support.nodes import Node, running_node
from support.postgres import create_database, drop_database, shared_server
from support.projects import CONFIG, write_project

TASKS = """
    from runner import Context, DeadlockError, NotFoundError, RunnerError, getRun, scheduleTask, task

    @task
    def tells(parameters):
        return parameters

    @task
    def looks(parameters):
        handle = None
        try:
            handle = getRun(parameters["run"])
            return handle.result(timeout=parameters.get("timeout"))
        except RunnerError as error:
            return [type(error).__name__, str(error)]

    @task
    def asks(parameters):
        from runner.sdk import link
        answers = []
        for method, arguments in [("show", {}), ("wait", {"timeout": None}), ("wait", {"timeout": 0.0})]:
            try:
                answers.append(link.current().call(method, {"run": parameters["run"], **arguments}))
            except RunnerError as error:
                answers.append([type(error).__name__, str(error)])
        return answers

    @task
    def raw(parameters):
        from runner.sdk import link
        try:
            return link.current().call("schedule", {"runs": [parameters]})
        except RunnerError as error:
            return [type(error).__name__, str(error)]

    @task
    def leads_to(parameters):
        child = scheduleTask("shop.tells", {"number": 1})
        grandchild = getRun(scheduleTask("shop.parent").result())
        return [child.result(), grandchild.result(), getRun(child.id).status()]

    @task
    def parent():
        return scheduleTask("shop.tells", {"number": 2}).id

    @task
    def asks_its_parent(parameters, context: Context):
        if not parameters:
            return scheduleTask("shop.asks_its_parent", {"run": context.run}).result()
        try:
            getRun(parameters["run"])
        except NotFoundError as error:
            return str(error)

    @task
    def asks_its_sibling():
        sibling = scheduleTask("shop.tells", {"secret": 1})
        return scheduleTask("shop.looks", {"run": sibling.id, "timeout": "1s"}).result()

    @task
    def once(parameters):
        return scheduleTask("shop.tells", {"by": "once"}, idempotency_key="order").result()

    @task
    def occupies(parameters):
        return scheduleTask("shop.tells", {"by": "occupies"}, idempotency_key="order").result()
"""


@pytest.fixture(scope="module", autouse=True)
def server() -> str:
    """Started before any test looks which processes there are."""
    return shared_server()


@pytest.fixture(params=["sqlite", "postgres"])
async def node(request: pytest.FixtureRequest, tmp_path: Path, server: str) -> AsyncIterator[Node]:
    """A node on either store, with a task that is as hostile as the test asks it to be."""
    config, database = CONFIG, None
    if request.param == "postgres":
        database = create_database(server)
        config = CONFIG.replace("[runner]", f'[runner]\nstore = "{database}"')
    try:
        async with running_node(write_project(tmp_path, {"shop.py": TASKS}, config)) as running:
            yield running
    finally:
        if database is not None:
            drop_database(server, database)


async def test_a_task_sees_nothing_of_a_run_that_its_own_has_not_led_to(node: Node) -> None:
    other = await node.run("shop.tells", {"secret": 1})

    answers = (await node.run("shop.asks", {"run": other["id"]}))["result"]
    none = uuid7()
    of_none = (await node.run("shop.asks", {"run": none}))["result"]

    assert [kind for kind, _ in answers] == ["NotFoundError"] * 3
    # In the same words whether there is one or not.
    assert [message.replace(other["id"], none) for _, message in answers] == [message for _, message in of_none]


async def test_the_id_of_anothers_run_is_of_no_use_when_a_run_is_scheduled(node: Node) -> None:
    other = await node.run("shop.tells", {"secret": 1})

    for task in ("shop.tells", "shop.raw"):
        kind, message = (await node.run("shop.raw", {"id": other["id"], "task": task}))["result"]
        assert kind == "ConflictError"
        assert "is taken by another run" in message
    effect = await node.run("shop.raw", {"id": other["id"], "task": "shop.tells", "with_success": True})
    assert effect["reason"] == "error"
    assert "is taken by another run" in effect["why"]


async def test_a_task_sees_its_own_run_and_all_that_came_of_it(node: Node) -> None:
    assert (await node.run("shop.leads_to"))["result"] == [{"number": 1}, {"number": 2}, "succeeded"]


async def test_a_task_sees_neither_its_parent_nor_its_siblings(node: Node) -> None:
    assert "a task sees what it scheduled" in (await node.run("shop.asks_its_parent"))["result"]
    kind, _ = (await node.run("shop.asks_its_sibling"))["result"]
    assert kind == "NotFoundError"


async def test_a_task_cannot_occupy_the_keys_of_others(node: Node) -> None:
    assert (await node.run("shop.occupies"))["result"] == {"by": "occupies"}
    outside = await node.run("shop.tells", {"by": "outside"}, idempotency_key="order")

    assert outside["result"] == {"by": "outside"}
    for _ in range(2):  # the second finds the run of the first, which another run of its task scheduled
        assert (await node.run("shop.once"))["result"] == {"by": "once"}
    assert (await node.operations.count_runs(APP))["succeeded"] == 6


UNTRUSTED = """
    from runner import RunnerError, scheduleTask, task

    @task
    def plain():
        return "plain"

    @task(network=["api.example.com:443"], secrets=["OPEN"], memory="64MB", timeout="20s", processes=16, disk="8MB",
          cpus=0.5, queue="untrusted:a")
    def within():
        return "within"

    @task
    def schedules(parameters):
        try:
            return scheduleTask(parameters.pop("task"), **parameters).result()
        except RunnerError as error:
            return [type(error).__name__, str(error)]

    @task(network=True)
    def network_all(): ...

    @task(network=["evil.example.net:443"])
    def network_host(): ...

    @task(network=["api.example.com:22"])
    def network_port(): ...

    @task(secrets=["OPEN", "CLOSED"])
    def secrets(): ...

    @task(memory="2GB")
    def memory(): ...

    @task(timeout="none")
    def timeout(): ...

    @task(processes=1000)
    def processes(): ...

    @task(disk="1GB")
    def disk(): ...

    @task(cpus=4)
    def cpus(): ...

    @task(queue="billing")
    def queue(): ...
"""
MAIL = """
    from runner import task

    @task(secrets=["CLOSED"], network=True, memory="256MB")
    def send(parameters, context):
        return context.secrets["CLOSED"]
"""
BOUNDS = """
[[bounds]]
tasks = ["untrusted.*"]
network = ["*.example.com:443"]
secrets = ["OPEN"]
queues = ["untrusted:*"]
may_schedule = ["untrusted.*"]
[[bounds]]
tasks = ["*.?", "un*"]
timeout = "25s"
memory = "96MB"
cpus = 1.0
processes = 32
disk = "64MB"
"""
EXCEEDING = {
    "network_all": ("network", "got true", "bounds[0].network", '["*.example.com:443"]'),
    "network_host": ("network", 'got ["evil.example.net:443"]', "bounds[0].network", '["*.example.com:443"]'),
    "network_port": ("network", 'got ["api.example.com:22"]', "bounds[0].network", '["*.example.com:443"]'),
    "secrets": ("secrets", 'got ["OPEN", "CLOSED"]', "bounds[0].secrets", '["OPEN"]'),
    "memory": ("memory", 'got "2GB"', "bounds[1].memory", '"96MB"'),
    "timeout": ("timeout", 'got "none"', "bounds[1].timeout", '"25s"'),
    "processes": ("processes", "got 1000", "bounds[1].processes", "32"),
    "disk": ("disk", 'got "1GB"', "bounds[1].disk", '"64MB"'),
    "cpus": ("cpus", "got 4", "bounds[1].cpus", "1.0"),
    "queue": ("queue", 'got "billing"', "bounds[0].queues", '["untrusted:*"]'),
}


@pytest.fixture
async def bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    monkeypatch.setenv("OPEN", "open sesame")
    monkeypatch.setenv("CLOSED", "as the grave")
    config = CONFIG.replace('memory = "128MB"', 'memory = "128MB"\nnetwork = ["api.example.com:443", "other.org:1"]')
    project = write_project(tmp_path, {"untrusted.py": UNTRUSTED, "mail.py": MAIL}, config + BOUNDS)
    async with running_node(project) as running:
        yield running


async def test_a_task_that_asks_for_more_than_the_bounds_is_a_problem_and_does_not_run(bounded: Node) -> None:
    listed = await bounded.operations.list_tasks(APP)
    problems = {problem["error"]["message"]: problem["file"] for problem in listed["problems"]}

    for name, (option, given, key, allowed) in EXCEEDING.items():
        [message] = [message for message in problems if message.startswith(f"{option} of task untrusted.{name} ")]
        assert given in message
        assert f"and {key} of " in message
        assert message.endswith(f"isolane.toml is {allowed}")
        assert problems[message] == "tasks/untrusted.py"
        with pytest.raises(UnknownTaskError, match="does not work"):
            await bounded.schedule(f"untrusted.{name}")
    assert len(problems) == len(EXCEEDING)


NAMED = """
    from runner import task

    @task(name="mail.again", network=True, secrets=["CLOSED"], queue="billing")
    def out(parameters, context):
        return context.secrets["CLOSED"]

    @task(name="free", memory="1GB")
    def run(): ...

    @task(name="untrusted.other")
    def renamed(): ...
"""


async def test_a_file_cannot_name_its_tasks_out_of_the_bounds(bounded: Node, tmp_path: Path) -> None:
    write_project(tmp_path, {"untrusted.py": NAMED}, CONFIG + BOUNDS)

    with pytest.raises(UnknownTaskError):
        await bounded.schedule("mail.again")
    listed = await bounded.operations.list_tasks(APP)

    told = [problem["error"]["message"] for problem in listed["problems"] if problem["file"] == "tasks/untrusted.py"]
    for name, origin in (("mail.again", "untrusted.out"), ("free", "untrusted")):
        [message] = [message for message in told if f"the name of task {name} " in message]
        assert f"covers {origin};" in message
    assert "untrusted.other" in [task["name"] for task in listed["items"]]
    assert len(told) == 2


async def test_defaults_are_lowered_to_the_bounds_and_other_tasks_are_not_bounded(bounded: Node) -> None:
    options = (await bounded.operations.show_task(APP, "untrusted.plain"))["options"]
    assert options["network"] == ["api.example.com:443"]
    assert (options["memory"], options["timeout"], options["cpus"]) == ("96MB", "25s", 1.0)
    assert (options["processes"], options["disk"]) == (32, "64MB")
    assert (await bounded.run("untrusted.within"))["result"] == "within"
    assert (await bounded.operations.show_task(APP, "mail.send"))["options"]["memory"] == "256MB"


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"task": "mail.send"}, 'what task untrusted.schedules schedules exceeds .* got "mail.send", and bounds'),
        ({"task": "mail.nope"}, 'got "mail.nope", and bounds'),  # the same, whether there is one or not
        ({"task": "untrusted.plain", "queue": "billing"}, 'queue .* got "billing", and bounds'),
        ({"task": "untrusted.plain", "timeout": "none"}, 'timeout of a run .* got "none", and bounds'),
        ({"task": "mail.send", "with_success": True}, 'got "mail.send", and bounds'),
    ],
    ids=["task", "unknown task", "queue", "timeout", "effect"],
)
async def test_a_bounded_task_schedules_no_more_than_it_may(bounded: Node, request_: dict, told: str) -> None:
    result = (await bounded.run("untrusted.schedules", request_))["result"]

    assert result[0] == "InvalidOptionError"
    assert re.search(told, result[1])


async def test_a_bounded_task_schedules_what_it_may(bounded: Node) -> None:
    assert (await bounded.run("untrusted.schedules", {"task": "untrusted.plain"}))["result"] == "plain"


async def test_bounds_on_a_run_hold_for_requests_from_outside_too(bounded: Node) -> None:
    with pytest.raises(
        InvalidOptionError, match=r"timeout of a run of untrusted\.plain exceeds .* bounds\[1\]\.timeout"
    ):
        await bounded.schedule("untrusted.plain", timeout="1h")
    with pytest.raises(InvalidOptionError, match=r"queue of a run of untrusted\.plain exceeds"):
        await bounded.schedule("untrusted.plain", queue="billing")


async def test_what_was_stored_before_there_were_bounds_is_not_repeated_beyond_them(bounded: Node) -> None:
    now = bounded.store.now()
    [old] = await bounded.store.enqueue(
        [
            NewRun(
                app=APP,
                id=uuid7(),
                task="untrusted.schedules",
                parameters="{}",
                created_at=now,
                due_at=now,
                timeout_s=float("inf"),
            )
        ]
    )
    assert (await bounded.ended(old.id))["status"] == "failed"

    with pytest.raises(InvalidOptionError, match="timeout of a run"):
        await bounded.operations.retry(APP, old.id)


async def test_what_a_task_has_waiting_leaves_room_for_others(tmp_path: Path) -> None:
    tasks = {
        "flood.py": """
            from runner import LimitExceededError, scheduleTask
            def run():
                try:
                    for number in range(100):
                        scheduleTask("flood", after="1h")
                except LimitExceededError as error:
                    return [number, str(error)]
        """
    }
    async with running_node(write_project(tmp_path, tasks, CONFIG + "[limits]\nwaiting_per_app = 8\n")) as node:
        number, message = (await node.run("flood"))["result"]
        assert number == 4
        assert "task 'flood' cannot schedule more: 4 runs of app 'main' wait that it scheduled" in message

        for _ in range(4):
            await node.schedule("flood", after="1h")
