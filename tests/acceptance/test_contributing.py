"""CONTRIBUTING.md names files and names that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:runner|sandbox|tests|config)/[\w/.*]+)`", TEXT))))
def test_every_path_is_there(path: str) -> None:
    assert list(ROOT.glob(path))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(_?[A-Z]\w+)`", TEXT))))
def test_every_name_in_capitals_is_in_the_code(name: str) -> None:
    files = [file for package in ("runner", "sandbox") for file in (ROOT / package).rglob("*.py")]

    assert any(re.search(rf"\b{name}\b", file.read_text()) for file in files)
