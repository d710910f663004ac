"""Only what changed is asked what it declares; what hangs, fails or takes a name stops nobody (attack 90)."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import pytest

from runner.catalog import discovery, inquiry
from runner.store.records import TaskKey

PLAIN = "def run(parameters): pass\n"
NAMED = "from runner import task\n@task(name='{}')\ndef f({}): ...\n"
HANGING = ["while True: pass\n", "import time\ntime.sleep(1e6)\n", "import os\nos.read(os.pipe()[0], 1)\n"]


def names(catalog):
    return sorted(key.task for key in catalog.entries)


@pytest.fixture
def asked(monkeypatch):
    """The modules that were asked, in order."""
    modules = []

    async def noted(module, *arguments, **options):
        modules.append(module)
        return await discovery.ask(module, *arguments, **options)

    monkeypatch.setattr(inquiry, "ask", noted)
    return modules


@contextlib.asynccontextmanager
async def watched(catalog):
    """A wait for a condition, while the catalog is being watched."""
    changed = asyncio.Event()
    watching = asyncio.create_task(catalog.watch(changed.set))

    async def until(condition):
        async with asyncio.timeout(30):
            while not condition():
                await changed.wait()
                changed.clear()

    try:
        yield until
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await catalog.close()


async def test_modules_that_hang_delay_neither_the_start_nor_what_is_saved(write, new_catalog):
    write({"hello.py": PLAIN, **{f"hang{number}.py": HANGING[number % 3] for number in range(12)}})
    catalog = new_catalog(import_timeout_s=600.0)
    await catalog.load(patience_s=0.1)

    async with watched(catalog) as until:
        await until(lambda: "hello" in names(catalog))
        write({"honest.py": PLAIN})
        await until(lambda: "honest" in names(catalog))
        write({"honest.py": "def run(): pass\n"})
        await until(lambda: catalog.entries[TaskKey("main", "honest")].arguments == 0)

        waiting = {module for module, problem in catalog.problems.items() if problem.error.type == "Unanswered"}
        assert waiting == {f"hang{number}" for number in range(12)}


async def test_only_what_changed_is_asked(write, new_catalog, asked):
    write({"a.py": PLAIN, "b.py": PLAIN, "user.py": "from tasks import b\n" + PLAIN, "_shared.py": "", "data.txt": "1"})
    catalog = new_catalog()

    async def asked_after(files):
        asked.clear()
        write(files)
        await catalog.load()
        return sorted(asked)

    assert await asked_after({}) == ["a", "b", "user"]
    assert await asked_after({"a.py": PLAIN + "\n"}) == ["a"]
    assert await asked_after({"b.py": PLAIN + "\n"}) == ["b", "user"]
    assert await asked_after({"_shared.py": "x = 1"}) == ["a", "b", "user"]
    assert await asked_after({"data.txt": "2"}) == ["a", "b", "user"]
    assert await asked_after({"c.py": PLAIN}) == ["c"]
    assert await asked_after({"a.py": None}) == []
    assert names(catalog) == ["b", "c", "user"]
    assert len({entry.code for entry in catalog.entries.values()}) == 1


async def test_a_problem_is_remembered_with_what_it_came_from(write, new_catalog, asked):
    write({"a.py": PLAIN, "broken.py": "1 / 0"})
    await new_catalog().load()
    asked.clear()
    restarted = new_catalog()
    await restarted.load()

    assert asked == []
    assert restarted.problems["broken"].error.type == "ZeroDivisionError"
    assert names(restarted) == ["a"]
    write({"broken.py": PLAIN})
    await restarted.load()
    assert asked == ["broken"]
    assert names(restarted) == ["a", "broken"]


async def test_what_took_too_long_is_shown_at_once_after_a_restart_and_tried_again(write, new_catalog, asked):
    write({"a.py": PLAIN, "slow.py": HANGING[0]})
    await new_catalog(import_timeout_s=2.0).load()
    asked.clear()
    restarted = new_catalog(import_timeout_s=600.0)
    await restarted.load(patience_s=0.1)

    assert restarted.problems["slow"].error.type == "TimeoutError"
    assert names(restarted) == ["a"]
    assert asked == ["slow"]
    await restarted.close()


async def test_a_name_that_is_claimed_stays_with_its_owner_and_refuses_no_start(write, new_catalog):
    write({"one.py": NAMED.format("same", "")})
    await new_catalog().load()
    write({"one.py": NAMED.format("same", "parameters"), "another.py": NAMED.format("same", ""), "two.py": PLAIN})
    restarted = new_catalog()
    await restarted.load()

    assert names(restarted) == ["same", "two"]
    same = restarted.entries[TaskKey("main", "same")]
    assert (same.module, same.arguments) == ("one", 1)
    assert "two tasks are named same" in restarted.problems["another"].error.message


async def test_a_folder_that_cannot_be_used_refuses_no_start(write, new_catalog, project):
    write({"a.py": PLAIN})
    await new_catalog().load()
    with (project / "tasks" / "huge.bin").open("wb") as file:
        file.truncate(1 << 40)
    restarted = new_catalog()
    await restarted.load()

    assert names(restarted) == ["a"]
    assert "huge.bin" in restarted.problems["tasks/"].error.message
    (project / "tasks" / "huge.bin").unlink()
    await restarted.load()
    assert not restarted.problems


async def test_a_bad_link_is_a_problem_of_its_own(write, new_catalog, project):
    write({"a.py": PLAIN})
    (project / "tasks" / "b.py").symlink_to("/etc/passwd")
    catalog = new_catalog()
    await catalog.load()

    assert names(catalog) == ["a"]
    assert "symbolic link" in catalog.problems["b"].error.message


async def test_an_upgraded_package_ends_what_was_warmed_up_with_the_old_one(write, new_catalog, tmp_path, monkeypatch):
    packages = tmp_path / "site-packages"
    (packages / "shop").mkdir(parents=True)
    (packages / "shop" / "__init__.py").write_text("version = 1\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(packages)])
    write({"a.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()
    key = TaskKey("main", "a")
    before = catalog.entries[key].spec
    async with watched(catalog) as until:
        (packages / "shop" / "new").write_text("version = 2\n")
        (packages / "shop" / "new").rename(packages / "shop" / "__init__.py")
        await until(lambda: catalog.entries[key].spec != before)

        assert not catalog.is_current(before)
        assert catalog.is_current(catalog.entries[key].spec)
