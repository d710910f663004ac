"""Nodes ask little of their database, and next to nothing when idle: every statement that reaches it is counted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runner.app import APP
from support.nodes import running_node
from support.postgres import PostgresServer, create_database
from support.projects import write_project
from support.waiting import eventually_async

STRETCH_S = 15.0
TASKS = {"hello.py": "def run():\n    return 'hello'\n"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    made = PostgresServer("log_statement=all", "log_line_prefix=%d ")
    made.start()
    yield made
    made.remove()


async def test_an_idle_node_makes_under_one_query_a_second_alone_and_among_others(
    server: PostgresServer, tmp_path: Path
) -> None:
    alone, shared = create_database(server.url()), create_database(server.url())
    async with contextlib.AsyncExitStack() as nodes:
        for name, store in (("alone", alone), ("first", shared), ("second", shared)):
            project = write_project(tmp_path / name, TASKS, f'[runner]\nname = "{name}"\nstore = "{store}"\n')
            node = await nodes.enter_async_context(running_node(project, periodic=True))
            await node.run("hello")
        begin = len(_log(server))
        until = time.monotonic() + STRETCH_S
        await eventually_async(lambda: time.monotonic() >= until, within_s=2 * STRETCH_S)
        lines = _log(server)[begin:]

    for store, count in ((alone, 1), (shared, 2)):
        statements = [line for line in lines if _is_statement(line, store)]
        rate = len(statements) / STRETCH_S / count
        print(f"{count} idle: {rate:.2f} statements a second and node")
        assert rate < 1, statements
        assert statements, "nothing was counted"


async def test_a_run_takes_one_statement_and_its_share_of_what_nodes_tell_each_other(
    server: PostgresServer, tmp_path: Path
) -> None:
    shared, runs = create_database(server.url()), 40
    async with contextlib.AsyncExitStack() as nodes:
        for name in ("first", "second"):
            config = f'[runner]\nname = "{name}"\nstore = "{shared}"\nconcurrency = 1\n'
            node = await nodes.enter_async_context(running_node(write_project(tmp_path / name, TASKS, config)))
        await node.run("hello")
        ended: set[str] = set()
        node.store.listen(lambda notice: ended.update(run.id for run in notice.ended))
        begin = len(_log(server))
        await node.operations.schedule(APP, [{"task": "hello"} for _ in range(runs)])
        await eventually_async(lambda: len(ended) == runs, within_s=60)
        statements = [line for line in _log(server)[begin:] if _is_statement(line, shared)]

    # The end of one is the claim of the next; ends are told, some together, and nodes look after themselves.
    assert runs <= len(statements) <= 2.5 * runs, statements


def _log(server: PostgresServer) -> list[str]:
    return (server.folder / "log").read_text().splitlines()


def _is_statement(line: str, store: str) -> bool:
    """Whether the server executed one in this database; BEGIN and COMMIT count, too."""
    database = urlsplit(store).path[1:]
    return line.startswith((f"{database} LOG:  statement:", f"{database} LOG:  execute "))
