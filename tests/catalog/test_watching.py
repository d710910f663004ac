"""A saved file is noticed; also in a folder that was moved away and came back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.catalog import watching as watcher
from runner.store.records import TaskKey
from support.loop_pauses import watched_loop

PLAIN = "def run(parameters): pass\n"


@pytest.fixture
async def watched(write, new_catalog):
    """A loaded catalog that is being watched, and a wait for its next change."""
    write({"a.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()
    changed = asyncio.Event()
    watching = asyncio.create_task(catalog.watch(changed.set))

    async def until(condition):
        async with asyncio.timeout(15):
            while not condition(catalog):
                await changed.wait()
                changed.clear()
        assert not watching.done()

    yield catalog, until
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching


def has(*names):
    return lambda catalog: {key.task for key in catalog.entries} == set(names)


async def test_a_saved_file_is_taken_into_use(watched, write):
    _, until = watched
    write({"b.py": PLAIN})
    await until(has("a", "b"))
    write({"deep/er/c.py": PLAIN})
    await until(has("a", "b", "deep.er.c"))
    write({"deep/er/c.py": "1 / 0", "a.py": None})
    await until(has("b", "deep.er.c"))
    await until(lambda catalog: catalog.problems["deep.er.c"].kept)


async def test_a_folder_that_is_moved_away_and_replaced_is_found_again(watched, write, project):
    catalog, until = watched
    (project / "tasks").rename(project / "old")
    await until(lambda catalog: "tasks/" in catalog.problems)
    assert catalog.entries

    write({"b.py": PLAIN})
    await until(has("b"))
    assert not catalog.problems
    write({"c.py": PLAIN})
    await until(has("b", "c"))


async def test_a_folder_behind_a_link_may_be_exchanged(write, new_catalog, project):
    for name in ("one", "two"):
        (project / name).mkdir()
        (project / name / f"{name}.py").write_text(PLAIN)
    (project / "tasks").rmdir()
    (project / "tasks").symlink_to("one")
    catalog = new_catalog()
    await catalog.load()
    changed = asyncio.Event()
    watching = asyncio.create_task(catalog.watch(changed.set))
    (project / "next").symlink_to("two")
    (project / "next").rename(project / "tasks")
    async with asyncio.timeout(15):
        await changed.wait()

    assert catalog.entries.keys() == {TaskKey("main", "two")}
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching


async def test_what_a_link_leads_to_may_be_exchanged(watched, project):
    """As a ConfigMap is: `..data` is a link that is exchanged, and the files are links through it."""
    _, until = watched

    def put(number):
        below = project / "tasks" / f"..{number}"
        below.mkdir()
        (below / "job.py").write_text(f"from runner import task\n@task(name='job.v{number}')\ndef run(): pass\n")
        (project / "tasks" / "..new").symlink_to(below.name)
        (project / "tasks" / "..new").rename(project / "tasks" / "..data")

    put(1)
    (project / "tasks" / "job.py").symlink_to("..data/job.py")
    await until(has("a", "job.v1"))
    for number in (2, 3):
        put(number)
        await until(has("a", f"job.v{number}"))


async def test_a_kernel_that_does_not_tell_is_told_once_and_made_up_for(
    write, new_catalog, project, monkeypatch, caplog
):
    """As where another process of this user has used up the watches."""

    def refuse(*_, **__):
        raise RuntimeError("too many watches")

    monkeypatch.setattr(watcher, "watch_files", refuse)
    monkeypatch.setattr(watcher, "_AGAIN_S", 0.01)
    write({"a.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()
    changed = asyncio.Event()
    with caplog.at_level(logging.WARNING):
        watching = asyncio.create_task(catalog.watch(changed.set))
        write({"b.py": PLAIN})
        async with asyncio.timeout(15):
            await changed.wait()
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching

    assert has("a", "b")(catalog)
    assert caplog.text.count("the kernel does not tell of changes") == 1


async def test_a_file_whose_dates_were_kept_is_noticed(watched, project):
    """An exchanged file is another file, whatever it says of its age: `cp -p`, `rsync -t`, archives."""
    _, until = watched
    file = project / "tasks" / "a.py"
    before = file.stat()
    draft = project / "draft.py"
    draft.write_text(PLAIN.replace("run(", "ran(") + "from runner import task\ntask(name='b')(ran)\n")
    os.utime(draft, ns=(before.st_atime_ns, before.st_mtime_ns))
    draft.rename(file)
    await until(has("b"))


def kernel_watches():
    """How many files and folders this process has the kernel watch."""
    texts = (path.read_text() for path in Path("/proc/self/fdinfo").iterdir() if path.exists())
    return sum(text.count("inotify wd:") for text in texts)


async def test_the_kernel_is_asked_about_nothing_that_does_not_count(write, new_catalog, project, tmp_path):
    """What somebody's link leads to would use up the watches of the whole machine, and hold up the loop."""
    for number in range(50):
        (tmp_path / "big" / str(number)).mkdir(parents=True)
        (project / "tasks" / ".hidden" / str(number)).mkdir(parents=True)
    (project / "tasks" / "link").symlink_to(tmp_path / "big")
    write({"deep/er/c.py": PLAIN})
    catalog, before = new_catalog(), kernel_watches()
    await catalog.load()
    changed = asyncio.Event()
    watching = asyncio.create_task(catalog.watch(changed.set))
    write({"new/d.py": PLAIN})
    async with asyncio.timeout(15):
        while not has("deep.er.c", "new.d")(catalog):
            await changed.wait()
            changed.clear()
        while (kept := kernel_watches() - before) < 4:  # tasks, deep, deep/er, new
            await asyncio.sleep(0.01)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching

    assert kept == 4


@pytest.mark.alone
@pytest.mark.parametrize("where", [".", ".hidden"])
async def test_who_changes_names_without_end_does_not_hold_up_the_loop(watched, project, where):
    _, until = watched
    (project / "tasks" / where).mkdir(exist_ok=True)
    flood = "import itertools, os\nfor n in itertools.count():\n  os.mkdir(f'.{n}'); os.rmdir(f'.{n}')"
    flooding = subprocess.Popen([sys.executable, "-c", flood], cwd=project / "tasks" / where)
    try:
        async with watched_loop() as pauses:
            for name in ("b", "c"):
                (project / "tasks" / f"{name}.py").write_text(PLAIN)
                await until(lambda catalog, name=name: TaskKey("main", name) in catalog.entries)
    finally:
        flooding.kill()
        flooding.wait()

    assert pauses.longest_s < 0.1
