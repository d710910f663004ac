"""A file that imports a module which lies beside the project is told what shows it, and once it is shown it works."""

from __future__ import annotations

import json
import re

import pytest

SOURCE = "import shoplib\n\ndef run(): return shoplib.__name__\n"


@pytest.fixture
def project(tmp_path):
    project = tmp_path / "shop" / "project"
    (project / "tasks").mkdir(parents=True)
    (project / ".isolane").mkdir(mode=0o700)
    return project


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("shoplib/__init__.py", "shoplib"),
        ("lib/shoplib.py", "lib"),
        ("src/shoplib/__init__.py", "src"),
        ("../shoplib/__init__.py", "../shoplib"),
        ("../shop-lib/shoplib/__init__.py", "../shop-lib"),
        ("../shop-lib/src/shoplib/__init__.py", "../shop-lib"),
        ("../shoplib/shoplib.py", "../shoplib"),
    ],
)
async def test_the_line_that_is_named_makes_the_import_work(project, write, new_catalog, place, shown):
    (project / "other").mkdir()
    (project / place).parent.mkdir(parents=True, exist_ok=True)
    (project / place).touch()
    write({"sells.py": SOURCE})
    catalog = new_catalog({"code": {"packages": ["other"]}})

    await catalog.load()

    error = catalog.problems["sells"].error
    line = re.search(r"write packages = (\[.*\]) under \[code\] in config/isolane\.toml\)$", error.message)
    assert line, error.message
    assert error.traceback.endswith(f"{line[0]}\n")
    assert json.loads(line[1]) == ["other", shown]
    mended = new_catalog({"code": {"packages": json.loads(line[1])}})
    await mended.load()
    assert not mended.problems


async def test_a_module_in_the_projects_own_folder_is_told_where_to_go(project, write, new_catalog):
    (project / "shoplib.py").touch()
    write({"sells.py": SOURCE})
    catalog = new_catalog()

    await catalog.load()

    assert catalog.problems["sells"].error.message.endswith(
        '(move shoplib.py into a folder lib/, and write packages = ["lib"] under [code] in config/isolane.toml)'
    )


async def test_a_module_in_the_tasks_folder_is_told_how_it_is_imported(write, new_catalog):
    write({"sells.py": SOURCE, "shoplib.py": "def run(): ..."})
    catalog = new_catalog()

    await catalog.load()

    assert catalog.problems["sells"].error.message.endswith("(shoplib lies in tasks/: from tasks import shoplib)")


async def test_a_module_that_is_nowhere_near_and_a_name_that_is_none_get_no_advice(write, new_catalog):
    write(
        {
            "sells.py": SOURCE,
            "forges.py": "raise ModuleNotFoundError(\"No module named '../shop/project/tasks'\")",
        }
    )
    catalog = new_catalog()

    await catalog.load()

    for problem in catalog.problems.values():
        assert "write packages" not in problem.error.message
        assert "lies in" not in problem.error.message
