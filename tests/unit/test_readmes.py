"""Every folder of the code and of its tests has a README, with a row for each of its files and folders."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Of the tests, those folders that hold tests: what they run inside a sandbox or a project has one row as a whole.
FOLDERS = [file.parent for package in ("runner", "sandbox") for file in (ROOT / package).rglob("__init__.py")]
FOLDERS += [folder for folder in (ROOT / "tests").iterdir() if [*folder.glob("*.py")]]


def rows(readme: Path) -> set[str]:
    """The files and folders that have a row: a row begins with their names."""
    lines = [line for line in readme.read_text().splitlines() if line.startswith("| ")]
    return {name for line in lines for name in re.findall(r"`([\w/]+(?:\.py|/))`", line)}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_the_readme_of_a_folder_has_a_row_for_all_that_is_in_it(folder: Path) -> None:
    there = {path.name for path in folder.glob("*.py") if path.name != "__init__.py"}
    there |= {f"{path.parent.name}/" for path in folder.glob("*/*.py")}
    readme, prefix = folder / "README.md", ""
    if not readme.exists():  # a small folder stands in the README above
        readme, prefix = folder.parent / "README.md", f"{folder.name}/"

    assert {f"{prefix}{name}" for name in there} <= rows(readme)


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if (folder / "README.md").exists()], ids=str)
def test_a_readme_has_no_row_for_a_file_that_is_not_there(folder: Path) -> None:
    gone = {name for name in rows(folder / "README.md") if name.endswith(".py") and "/" not in name}

    assert {name for name in gone if not [*folder.rglob(name)]} == set()
