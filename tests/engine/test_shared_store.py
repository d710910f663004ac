"""One node on a shared store: the net under replies and notices that get lost on the way."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.app import APP
from runner.domain.status import Reason
from runner.store.records import Room, TaskKey
from support.nodes import Node, running_node
from support.postgres import Shell, create_database, drop_database, shared_server
from support.projects import CONFIG, write_project
from support.waiting import eventually_async

TASKS = {
    "hello.py": "def run():\n    return 'hello'\n",
    "linger.py": "import signal\n\ndef run():\n    signal.pause()\n",
}


#: Nothing can be announced from now on; a sequence remembers that somebody tried.
FULL = (
    "CREATE SEQUENCE refusals",
    """CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       PERFORM nextval('refusals'); RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$""",
    "CREATE TRIGGER full_disk BEFORE INSERT ON announced FOR EACH STATEMENT EXECUTE FUNCTION no_room()",
)


@pytest.fixture(scope="module", autouse=True)
def postgres() -> str:
    """Started before any test looks which processes there are."""
    return shared_server()


@pytest.fixture
async def node(tmp_path: Path, postgres: str) -> AsyncIterator[Node]:
    database = create_database(postgres)
    config = CONFIG.replace("[runner]", f'[runner]\nstore = "{database}"')
    try:
        async with running_node(write_project(tmp_path, TASKS, config)) as node:
            yield node
    finally:
        drop_database(postgres, database)


async def test_a_claim_whose_reply_was_lost_is_given_back_and_runs(node: Node) -> None:
    own = node.engine.node
    own.draining = True  # so that it does not claim by itself
    run = await node.schedule("hello")
    room = Room(slots=1, memory_bytes=1 << 40, memory_total_bytes=1 << 40, needs={TaskKey(APP, "hello"): 1})
    [claim] = (await node.store.claim(own.identity.id, room, node.store.now())).claims
    own.draining = False

    ended = await node.ended(run["id"])

    assert claim.run.id == run["id"]
    assert [attempt["reason"] for attempt in ended["attempts"]] == [Reason.DRAINED, Reason.SUCCESS]
    assert "never heard of its claim" in ended["attempts"][0]["why"]


async def test_a_cancellation_that_nobody_told_of_is_found(node: Node) -> None:
    run = await node.schedule("linger")
    await eventually_async(lambda: _is_running(node, run["id"]))
    node.engine._dispatcher._unlisten()
    node.engine._dispatcher._unlisten = lambda: None

    await node.operations.cancel(APP, run["id"])

    assert (await node.ended(run["id"]))["status"] == "cancelled"


async def _is_running(node: Node, run: str) -> bool:
    return bool((await node.operations.show(APP, run))["status"] == "running")


async def test_tasks_that_were_saved_while_the_disk_was_full_are_taken_into_use_later(
    tmp_path: Path, postgres: str
) -> None:
    database = create_database(postgres)
    project = write_project(tmp_path, TASKS, CONFIG.replace("[runner]", f'[runner]\nstore = "{database}"'))
    try:
        async with running_node(project, periodic=True) as node:
            with contextlib.closing(Shell(database)) as shell:
                for statement in FULL:
                    shell.sql(statement)
                (project / "tasks" / "late.py").write_text("def run():\n    return 'late'\n")
                await eventually_async(lambda: shell.sql("SELECT is_called FROM refusals") == [(True,)])
                shell.sql("DROP TRIGGER full_disk ON announced")

            assert (await node.run("late", within_s=30))["result"] == "late"
    finally:
        drop_database(postgres, database)
