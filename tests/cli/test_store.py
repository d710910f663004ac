"""`isolane store`, as people call it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest

from runner.domain.options.queue_rule import QueueRule
from runner.store import open_store
from runner.store.contract import Store
from runner.store.records import StoreLimits
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
            for arguments, instead in (
                (("copy", "sqlite:used.db", "sqlite:new.db"), "VACUUM INTO 'COPY.db'"),
                (("migrate", "--store", "sqlite:used.db"), "name another file"),
            ):
                refused = await asyncio.to_thread(isolane, "store", *arguments)
                assert refused.returncode == 1
                assert "another runner has the store" in refused.stderr
                assert instead in refused.stderr
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


def test_a_store_that_a_runner_writes_to_is_checked(isolane, tmp_path) -> None:
    async def work() -> None:
        store = at(tmp_path, "sqlite:used.db")
        await store.open()
        desk = await desk_at(store)
        try:
            await desk.enqueue()
            checked = await asyncio.to_thread(isolane, "store", "check", "--store", "sqlite:used.db")
            assert (checked.returncode, checked.stderr) == (0, "")
            await desk.claim_one()
        finally:
            await store.close()

    asyncio.run(work())


@pytest.mark.parametrize("in_use", [False, True])
def test_a_check_of_a_copy_writes_nothing_beside_it(isolane, tmp_path, in_use) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()

    async def work() -> None:
        store = at(tmp_path, "sqlite:one.db")
        await store.open()
        await store.enqueue([new_run()])
        if in_use:  # what it holds is still in the log beside it
            for kind in ("", "-wal"):
                shutil.copy(tmp_path / f"one.db{kind}", copies / f"one.db{kind}")
        await store.close()

    asyncio.run(work())
    if not in_use:
        shutil.copy(tmp_path / "one.db", copies)
    before = contents(copies)

    checked = isolane("store", "check", "--store", "sqlite:copies/one.db")

    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.endswith("one.db is right\n")
    assert contents(copies) == before


def test_a_copy_of_a_file_without_its_logs_makes_none_beside_it(isolane, tmp_path) -> None:
    enqueue(tmp_path, "sqlite:one.db", 3)
    (tmp_path / "one-logs.db").unlink()

    copied = isolane("store", "copy", "sqlite:one.db", "sqlite:two.db")

    assert (copied.returncode, copied.stderr) == (0, "")
    assert copied.stdout.startswith("copied 3 runs to ")
    assert not (tmp_path / "one-logs.db").exists()
    assert (tmp_path / "two-logs.db").exists()


def test_a_check_of_a_torn_copy_says_how_to_make_a_whole_one(isolane, tmp_path) -> None:
    enqueue(tmp_path, "sqlite:one.db", 200)
    torn = tmp_path / "torn.db"
    whole = (tmp_path / "one.db").read_bytes()
    torn.write_bytes(whole[: len(whole) - 8192] + bytes(8192))

    checked = isolane("store", "check", "--store", "sqlite:torn.db")

    assert checked.returncode == 1
    assert "the file is damaged" in checked.stdout
    assert "VACUUM INTO" in checked.stdout
    assert not list(tmp_path.glob("torn*-*"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
