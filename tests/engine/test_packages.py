"""`[code] packages`: libraries of the project's own that tasks import."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import ConfigError
from support.nodes import running_node
from support.projects import CONFIG, settings_of, write_project
from support.waiting import eventually_async

PRICE = "def price(count):\n    return count * {each}\n"
TASK = """
    import os
    import shoplib.prices

    def run():
        file = shoplib.prices.__file__
        try:
            open(file, "w")
        except OSError as error:
            refused = error.strerror
        return [shoplib.prices.price(2), refused, sorted(os.listdir(os.path.dirname(file)))]
"""


def project_with(folder: Path, layout: str, *, each: int = 3) -> Path:
    """A project beside a library that lies there as `layout` says."""
    places = {"package": "shoplib", "flat": "shop/shoplib", "src": "shop/src/shoplib"}
    library = folder / places[layout]
    library.mkdir(parents=True, exist_ok=True)
    (library / "__init__.py").touch()
    (library / "prices.py").write_text(PRICE.format(each=each))
    named = "../shoplib" if layout == "package" else "../shop"
    return write_project(folder / "project", {"shop.py": TASK}, f'{CONFIG}[code]\npackages = ["{named}"]\n')


@pytest.mark.parametrize("layout", ["package", "flat", "src"])
async def test_a_task_imports_a_library_beside_the_project_and_cannot_change_it(tmp_path: Path, layout: str) -> None:
    async with running_node(project_with(tmp_path, layout)) as node:
        ended = await node.run("shop")

    assert ended["result"] == [6, "Read-only file system", ["__init__.py", "prices.py"]]


async def test_saving_in_the_library_is_a_deploy(tmp_path: Path) -> None:
    project = project_with(tmp_path, "flat")
    async with running_node(project, periodic=True) as node:
        first = await node.run("shop")

        project_with(tmp_path, "flat", each=50)

        await eventually_async(lambda: _returns(node, 100), within_s=30)
        assert (await node.run("shop"))["attempts"][0]["code"] != first["attempts"][0]["code"]
        project_with(tmp_path, "flat")  # as it was before
        await node.engine.reload()
        assert (await node.run("shop"))["attempts"][0]["code"] == first["attempts"][0]["code"]


async def test_a_library_that_is_broken_leaves_the_last_good_version_in_use(tmp_path: Path) -> None:
    project = project_with(tmp_path, "src")
    async with running_node(project) as node:
        (tmp_path / "shop/src/shoplib/prices.py").write_text("def price(:\n")
        await node.engine.reload()

        [problem] = node.engine.catalog.problems.values()
        assert (problem.error.type, problem.kept) == ("SyntaxError", True)
        assert (await node.run("shop"))["result"][0] == 6


async def _returns(node, price: int) -> bool:
    return (await node.run("shop"))["result"][0] == price


@pytest.mark.parametrize(
    ("packages", "says"),
    [
        (
            '["../nowhere"]',
            r"code\.packages\[0\] must be a folder, relative to the project: there is none at",
        ),
        ('["."]', r"code\.packages\[0\] must hold nothing that tasks may not see"),
        ('[".."]', r"code\.packages\[0\] must hold nothing that tasks may not see"),
        ('[".isolane"]', r"code\.packages\[0\] must hold nothing that tasks may not see"),
        ('"../shoplib"', r"code\.packages must be a list of at most 50 folders"),
        ("[5]", r"code\.packages\[0\] must be text"),
    ],
)
def test_a_wrong_folder_is_refused_by_its_place(tmp_path: Path, packages: str, says: str) -> None:
    project = write_project(tmp_path / "project", {}, f"{CONFIG}[code]\npackages = {packages}\n")
    (project / ".isolane").mkdir()

    with pytest.raises(ConfigError, match=says):
        settings_of(project)
