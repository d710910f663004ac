"""What a saved, broken or deleted file changes, and what stays in use meanwhile."""

from __future__ import annotations

import asyncio
import json

import pytest

from runner.store.records import TaskKey

PLAIN = "def run(parameters): pass\n"


def names(catalog):
    return sorted(key.task for key in catalog.entries)


def entry(catalog, name):
    return catalog.entries[TaskKey("main", name)]


# --- saving is a deploy -----------------------------------------------------------------------------------------


async def test_without_a_change_nothing_happens(write, new_catalog):
    write({"a.py": PLAIN})
    catalog = new_catalog()

    assert await catalog.load()
    before = catalog.entries
    assert not await catalog.load()
    assert catalog.entries is before


async def test_a_saved_file_is_a_new_version_and_the_old_snapshot_stays(write, new_catalog, project):
    write({"a.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()
    old = entry(catalog, "a")
    write({"a.py": "def run(parameters, context): pass\n"})
    await catalog.load()

    assert entry(catalog, "a").arguments == 2
    assert entry(catalog, "a").code != old.code
    assert (project / ".isolane" / "code" / old.code / "tasks" / "a.py").read_text() == PLAIN


async def test_a_changed_helper_changes_the_tasks_that_use_it(write, new_catalog):
    write({"_shared.py": "QUEUE = 'one'\n"})
    write({"a.py": "from tasks._shared import QUEUE\nfrom runner import task\n@task(queue=QUEUE)\ndef f(): ...\n"})
    catalog = new_catalog()
    await catalog.load()
    assert entry(catalog, "a.f").options.queue == "one"
    write({"_shared.py": "QUEUE = 'two'\n"})
    await catalog.load()

    assert entry(catalog, "a.f").options.queue == "two"


async def test_a_module_that_breaks_keeps_its_last_good_version_and_others_move_on(write, new_catalog):
    write({"a.py": PLAIN, "b.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()
    good = entry(catalog, "a").code
    write({"a.py": "1 / 0", "b.py": "def run(): pass\n"})
    await catalog.load()

    assert catalog.problems["a"].kept
    assert catalog.problems["a"].error.type == "ZeroDivisionError"
    assert (entry(catalog, "a").code, entry(catalog, "a").arguments) == (good, 1)
    assert (entry(catalog, "b").code != good, entry(catalog, "b").arguments) == (True, 0)

    write({"a.py": "def run(): pass\n"})
    await catalog.load()
    assert not catalog.problems
    assert entry(catalog, "a").arguments == 0


async def test_the_last_good_version_outlives_a_restart(write, new_catalog):
    write({"a.py": PLAIN, "b.py": PLAIN})
    first = new_catalog()
    await first.load()
    good = entry(first, "a").code
    write({"a.py": "import os; os._exit(1)"})
    await first.load()
    for _ in range(2):
        restarted = new_catalog()
        await restarted.load()

        assert entry(restarted, "a").code == good
        assert restarted.problems["a"].kept
        assert entry(restarted, "b").code != good


@pytest.mark.parametrize("damage", ["history", "format", "snapshot", "manifest"])
async def test_a_damaged_history_is_as_none(write, new_catalog, project, damage):
    write({"a.py": PLAIN, "b.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()
    history = project / ".isolane" / "code" / "catalog.json"
    document = json.loads(history.read_text())
    match damage:
        case "history":
            history.write_text("{")
        case "format":
            history.write_text(json.dumps(document | {"format": 3}))
        case "snapshot":
            (project / ".isolane" / "code" / entry(catalog, "a").code / "tasks" / "b.py").unlink()
        case "manifest":
            document["modules"]["a"]["tasks"][0]["name"] = "../etc"
            history.write_text(json.dumps(document))
    write({"a.py": "1 / 0"})
    restarted = new_catalog()
    await restarted.load()

    assert names(restarted) == ["b"]
    assert not restarted.problems["a"].kept


async def test_a_deleted_file_is_gone_even_if_it_was_good(write, new_catalog):
    write({"a.py": PLAIN, "b.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()
    write({"a.py": None})
    await catalog.load()

    assert names(catalog) == ["b"]
    assert not catalog.problems


async def test_a_name_that_is_taken_twice_later_leaves_both_as_they_were(write, new_catalog):
    named = "from runner import task\n@task(name='{}')\ndef f(): ...\n"
    write({"one.py": named.format("one"), "two.py": named.format("two"), "other.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()
    good = entry(catalog, "one").code
    write({"one.py": named.format("same"), "two.py": named.format("same"), "new.py": named.format("same")})
    write({"other.py": "def run(): pass\n"})
    await catalog.load()

    assert names(catalog) == ["one", "other", "two"]
    assert {entry(catalog, name).code for name in ("one", "two")} == {good}
    assert entry(catalog, "other").arguments == 0
    assert {module: problem.kept for module, problem in catalog.problems.items()} == {
        "one": True,
        "two": True,
        "new": False,
    }
    assert "tasks/new.py and in tasks/one.py and in tasks/two.py" in catalog.problems["one"].error.message


async def test_a_name_that_a_broken_module_still_holds_is_not_given_away(write, new_catalog):
    named = "from runner import task\n@task(name='same')\ndef f(): ...\n"
    write({"one.py": named})
    catalog = new_catalog()
    await catalog.load()
    write({"one.py": "1 / 0", "two.py": named})
    await catalog.load()

    assert entry(catalog, "same").module == "one"
    assert catalog.problems["one"].kept
    assert "two tasks are named same" in catalog.problems["two"].error.message


async def test_a_task_may_move_to_another_file(write, new_catalog):
    named = "from runner import task\n@task(name='same')\ndef f(): ...\n"
    write({"one.py": named})
    catalog = new_catalog()
    await catalog.load()
    write({"one.py": None, "two.py": named})
    await catalog.load()

    assert entry(catalog, "same").module == "two"
    assert not catalog.problems


async def test_a_folder_that_is_gone_later_leaves_the_tasks_in_use(write, new_catalog, project):
    write({"a.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()
    (project / "tasks").rename(project / "away")

    assert await catalog.load()
    assert names(catalog) == ["a"]
    assert "no tasks folder" in catalog.problems["tasks/"].error.message
    assert not await catalog.load()

    (project / "away").rename(project / "tasks")
    assert await catalog.load()
    assert not catalog.problems


async def test_loads_wait_for_one_another(write, new_catalog):
    write({f"m{number}.py": PLAIN for number in range(9)})
    catalog = new_catalog()
    changed = await asyncio.gather(*(catalog.load() for _ in range(5)))

    assert sorted(changed) == [False, False, False, False, True]
    assert len(catalog.entries) == 9


async def test_only_snapshots_that_nobody_needs_are_forgotten(write, new_catalog, project):
    write({"a.py": PLAIN, "b.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()
    kept = entry(catalog, "a").code
    write({"a.py": "1 / 0"})
    await catalog.load()
    running = entry(catalog, "b").code
    write({"b.py": "def run(): pass\n"})
    await catalog.load()
    write({"b.py": "def run(parameters, context): pass\n"})
    await catalog.load()
    catalog.forget_unused({running})

    left = {path.name for path in (project / ".isolane" / "code").iterdir() if path.is_dir()}
    assert left == {kept, running, entry(catalog, "b").code}
