"""A saved file is noticed; also in a folder that was moved away and came back."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from runner.store.records import TaskKey

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
