"""The SQLite file: who may open it, what survives a kill, what happens when the disk is full."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from runner.domain.options.queue_rule import QueueRule
from runner.domain.run import LogLine
from runner.domain.status import Status
from runner.errors import (
    ConfigError,
    StoreFullError,
    StoreLockedError,
    StoreUnavailableError,
    StoreVersionError,
)
from runner.store import open_store
from runner.store.records import StoreLimits
from support.stores import SqliteBackend, desk_at, new_run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def backend(tmp_path) -> SqliteBackend:
    return SqliteBackend(tmp_path)


def _script(tmp_path: Path, body: str) -> list[str]:
    """A program that opens the store in `tmp_path` and does `body` with the desk at it."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    source = f"""
import asyncio, json, os, resource, signal, sys
from pathlib import Path
from runner.errors import StoreFullError
from support.stores import SqliteBackend, desk_at, new_run

async def main():
    store = SqliteBackend(Path({str(tmp_path)!r})).store()
    await store.open()
    desk = await desk_at(store)
{lines}
    await store.close()

asyncio.run(main())
"""
    return [sys.executable, "-c", source]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PYTHONUNBUFFERED": "1"}


async def test_a_second_runner_on_the_same_file_is_refused(backend) -> None:
    first, second = backend.store(), backend.store()
    await first.open()
    try:
        with pytest.raises(StoreLockedError, match=re.escape(str(backend.path))):
            await second.open()
        await desk_at(first)
    finally:
        await first.close()
    await second.open()
    await second.close()


async def test_a_file_of_a_newer_version_is_refused_and_left_alone(backend) -> None:
    store = backend.store()
    await store.open()
    await store.close()
    backend.sql("PRAGMA user_version = 99")

    with pytest.raises(StoreVersionError, match="99"):
        await backend.store().open()

    assert backend.sql("PRAGMA user_version") == [(99,)]


async def test_a_database_of_another_program_is_refused_and_left_alone(backend) -> None:
    backend.sql("CREATE TABLE theirs (x)")

    with pytest.raises(StoreUnavailableError, match="another program"):
        await backend.store().open()

    assert backend.sql("SELECT name FROM sqlite_master") == [("theirs",)]


async def test_a_file_that_is_no_database_is_refused(backend) -> None:
    backend.path.write_text("not a database, but long enough to look at" * 100)

    with pytest.raises(StoreUnavailableError, match=re.escape(str(backend.path))):
        await backend.store().open()


async def test_a_path_that_cannot_be_written_is_named_with_what_to_do(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    store = open_store(
        "sqlite:file/below/store.db", project=tmp_path, limits=StoreLimits(), queue_rule=lambda app, queue: QueueRule()
    )

    with pytest.raises(StoreUnavailableError, match=r"file/below.*\[runner\] store"):
        await store.open()


async def test_a_folder_where_nobody_may_write_is_named(tmp_path) -> None:
    store = open_store(
        "sqlite:/proc/store.db", project=tmp_path, limits=StoreLimits(), queue_rule=lambda app, queue: QueueRule()
    )

    with pytest.raises(StoreUnavailableError, match=r"/proc/store\.db"):
        await store.open()


async def test_nobody_else_may_read_the_files(backend) -> None:
    store = backend.store()
    await store.open()
    modes = {path.name: path.stat().st_mode & 0o077 for path in backend.folder.iterdir()}
    await store.close()

    assert set(modes.values()) == {0}, modes


@pytest.mark.parametrize("url", ["sqlite:", "sqlite://x", "mysql:x", "x.db", ""])
def test_a_url_that_names_no_store_is_refused(tmp_path, url) -> None:
    with pytest.raises(ConfigError, match="sqlite:"):
        open_store(url, project=tmp_path, limits=StoreLimits(), queue_rule=lambda app, queue: QueueRule())


@pytest.mark.parametrize("after", [1, 40, 300])
async def test_what_was_returned_survives_a_kill_at_any_moment(backend, after) -> None:
    body = """
async def client(name):
    for number in range(10**9):
        runs = await store.enqueue([new_run(id=f"{name}-{number}-{place}", queue=f"q{place}") for place in range(3)])
        print(*(run.id for run in runs), flush=True)
        for claim in await desk.claim(2):
            await desk.end(claim)
await asyncio.gather(*(client(name) for name in range(8)))
"""
    printed: list[str] = []
    with subprocess.Popen(
        _script(backend.folder, body), stdout=subprocess.PIPE, text=True, env=_environment()
    ) as process:
        assert process.stdout is not None
        while len(printed) < after * 3:
            printed += process.stdout.readline().split()
        process.send_signal(signal.SIGKILL)
        whole_lines = process.stdout.read().rpartition("\n")[0]
        printed += whole_lines.split()

    store = backend.store()
    await store.open()
    try:
        for run in printed:
            await store.get("main", run)
        assert backend.sql("PRAGMA integrity_check") == [("ok",)]
        assert backend.sql("PRAGMA foreign_key_check") == []
    finally:
        await store.close()


async def test_runs_stay_and_work_goes_on_after_the_disk_was_full(backend) -> None:
    body = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
heavy = json.dumps({"x": "x" * 200_000})
accepted = [await desk.enqueue(parameters=heavy, id=f"before-{number}") for number in range(5)]
largest = max(path.stat().st_size for path in Path(store._path).parent.iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 1_000_000, resource.RLIM_INFINITY))
refused = []
while len(refused) < 3:
    outcomes = await asyncio.gather(*(desk.enqueue(parameters=heavy) for _ in range(4)), return_exceptions=True)
    refused += [error for error in outcomes if isinstance(error, Exception)]
    accepted += [run for run in outcomes if not isinstance(run, Exception)]
assert all(isinstance(error, StoreFullError) for error in refused), refused
for run in accepted:
    assert await desk.status(run) == "queued"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
accepted.append(await desk.enqueue(id="after"))
assert (await store.count("main"))["queued"] == len(accepted)
for _ in accepted:
    await desk.end(await desk.claim_one())
print("fine", len(accepted))
"""
    done = subprocess.run(
        _script(backend.folder, body), capture_output=True, text=True, env=_environment(), check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fine")
    assert backend.sql("PRAGMA integrity_check") == [("ok",)]


async def test_a_database_at_its_largest_size_refuses_and_goes_on_with_room(backend) -> None:
    store = backend.store()
    await store.open()
    try:
        desk = await desk_at(store)
        run = await desk.enqueue()
        pages = await store._writer.run(lambda tx: tx.connection.execute("PRAGMA page_count").fetchone()[0])
        await store._writer.run(lambda tx: tx.connection.execute(f"PRAGMA max_page_count = {pages + 5}").fetchone())

        with pytest.raises(StoreFullError, match=re.escape(str(backend.path))):
            await desk.enqueue(parameters='{"x": "' + "x" * 100_000 + '"}')
        assert await desk.status(run) is Status.QUEUED

        await store._writer.run(lambda tx: tx.connection.execute("PRAGMA max_page_count = 1000000").fetchone())
        await desk.enqueue(parameters='{"x": "' + "x" * 100_000 + '"}')
        await desk.end(await desk.claim_one())
    finally:
        await store.close()


async def test_concurrent_callers_share_commits(backend) -> None:
    store = backend.store()
    await store.open()
    try:
        before = store._writer.commits

        await asyncio.gather(*(store.enqueue([new_run()]) for _ in range(1000)))

        assert store._writer.commits - before < 100
        assert (await store.count("main"))[Status.QUEUED] == 1000
    finally:
        await store.close()


async def test_a_claim_that_finds_nothing_does_not_wait_for_the_disk(backend) -> None:
    store = backend.store()
    await store.open()
    try:
        desk = await desk_at(store)
        before = store._writer.commits

        await desk.claim()

        assert store._writer.commits == before
    finally:
        await store.close()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_each_call_returns_after_the_disk_has_its_run_and_many_share_one_wait(tmp_path) -> None:
    body = """
for number in range(5):
    await desk.enqueue()
    os.write(1, b"returned\\n")
os.write(1, b"together\\n")
await asyncio.gather(*(desk.enqueue() for _ in range(400)))
os.write(1, b"end\\n")
"""
    trace = tmp_path / "trace"
    subprocess.run(
        ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o", str(trace), *_script(tmp_path, body)],
        env=_environment(),
        check=True,
        capture_output=True,
        timeout=120,
    )
    events = [
        match.group(1) or "sync"
        for line in trace.read_text().splitlines()
        if (match := re.search(r'write\(1<.*"(returned|together|end)', line))
        or (match := re.search(r"(?:fsync|fdatasync)\(\d+<[^>]*store\.db-wal>(?:\)|, )()", line))
    ]

    serial, shared = events[: events.index("together")], events[events.index("together") : events.index("end")]
    for position, event in enumerate(serial):
        if event == "returned":
            assert serial[position - 1] == "sync", serial
    assert serial.count("returned") == 5
    assert 1 <= shared.count("sync") < 100, shared.count("sync")


async def test_a_shell_that_holds_the_database_makes_writers_wait_not_fail(backend) -> None:
    store = backend.store()
    await store.open()
    try:
        with contextlib.closing(sqlite3.connect(backend.path, isolation_level=None)) as shell:
            shell.execute("BEGIN IMMEDIATE")
            call = asyncio.ensure_future(store.enqueue([new_run()]))
            await asyncio.wait([call], timeout=0.2)
            assert not call.done()
            shell.execute("ROLLBACK")
        await call
    finally:
        await store.close()


async def test_runs_are_claimed_and_ended_while_the_logs_cannot_be_written(backend) -> None:
    store = backend.store()
    await store.open()
    line = LogLine(attempt=1, at=0, stream="stdout", text="x")
    try:
        desk = await desk_at(store)
        with contextlib.closing(sqlite3.connect(backend.folder / "store-logs.db", isolation_level=None)) as shell:
            shell.execute("BEGIN IMMEDIATE")
            flood = asyncio.gather(*(store.append_logs("main", "run", [line] * 100) for _ in range(50)))
            for _ in range(20):
                await desk.enqueue()
                await desk.end(await desk.claim_one())
            assert not flood.done()
            shell.execute("ROLLBACK")
        await flood
        assert (await store.logs("main", "run", limit=10_000)).cursor == 5000
    finally:
        await store.close()
