"""`isolane store`, as people call it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from runner.store import open_store
from runner.store.contract import Store
from runner.store.records import QueueRule, StoreLimits
from support.postgres import create_database, drop_database, shared_server
from support.stores import desk_at, new_run


@pytest.fixture
def postgres():
    server = shared_server()
    url = create_database(server)
    yield url
    drop_database(server, url)


def at(folder: Path, url: str) -> Store:
    return open_store(url, project=folder, limits=StoreLimits(), queue_rule=lambda _app, _queue: QueueRule())


def enqueue(folder: Path, url: str, count: int) -> None:
    async def work() -> None:
        store = at(folder, url)
        await store.open()
        await store.enqueue([new_run() for _ in range(count)])
        await store.close()

    asyncio.run(work())


def test_a_store_is_made_checked_and_moved_to_postgres_and_back(isolane, tmp_path, postgres) -> None:
    enqueue(tmp_path, "sqlite:old.db", 5)

    there = isolane("store", "copy", "sqlite:old.db", postgres)
    back = isolane("store", "copy", postgres, "sqlite:new.db")

    assert (there.returncode, there.stderr) == (0, "")
    assert there.stdout.startswith("copied 5 runs to postgresql://")
    assert back.stdout == f"copied 5 runs to sqlite:{tmp_path}/new.db; name it as `store` in [runner] of the config\n"
    for url in ("sqlite:old.db", postgres, "sqlite:new.db"):
        checked = isolane("store", "check", "--store", url, "--json")
        assert checked.returncode == 0, checked.stderr
        assert json.loads(checked.stdout)["problems"] == []


def test_a_terminal_shows_how_far_each_table_is(empty_folder) -> None:
    enqueue(empty_folder.folder, "sqlite:old.db", 5)

    printed = empty_folder.on_terminal("store", "copy", "sqlite:old.db", "sqlite:new.db")

    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed).splitlines()
    assert any(re.match(r"run parameters +━+ +5/5 ", line) for line in lines), lines


def test_the_store_of_the_config_is_the_one_that_is_meant(isolane, tmp_path) -> None:
    isolane("init")

    migrated = isolane("store", "migrate")
    checked = isolane("store", "check")

    assert migrated.stdout == f"sqlite:{tmp_path}/.isolane/isolane.db is up to date\n"
    assert checked.stdout == f"sqlite:{tmp_path}/.isolane/isolane.db is right\n"


def test_a_check_makes_no_store_where_there_is_none(isolane, tmp_path) -> None:
    checked = isolane("store", "check", "--store", "sqlite:none.db")

    assert checked.returncode == 1
    assert checked.stderr == f"error: there is no store at {tmp_path}/none.db\n"
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_a_runner_has_open_is_refused(isolane, tmp_path) -> None:
    async def work() -> None:
        store = at(tmp_path, "sqlite:used.db")
        await store.open()
        await desk_at(store)
        try:
            for arguments in (
                ("copy", "sqlite:used.db", "sqlite:new.db"),
                ("check", "--store", "sqlite:used.db"),
                ("migrate", "--store", "sqlite:used.db"),
            ):
                refused = await asyncio.to_thread(isolane, "store", *arguments)
                assert refused.returncode == 1
                assert "another runner has the store" in refused.stderr
        finally:
            await store.close()

    asyncio.run(work())


def test_what_is_wrong_is_told_and_fails_the_command(isolane, tmp_path, postgres) -> None:
    enqueue(tmp_path, "sqlite:one.db", 1)
    enqueue(tmp_path, postgres, 1)

    full = isolane("store", "copy", "sqlite:one.db", postgres)
    same = isolane("store", "copy", "sqlite:one.db", "sqlite:./one.db")
    other = isolane("store", "copy", "sqlite:one.db", "mysql://x")

    assert [call.returncode for call in (full, same, other)] == [1, 1, 1]
    assert "holds runs already" in full.stderr
    assert same.stderr == "error: FROM and TO are one store\n"
    assert "must be" in other.stderr
