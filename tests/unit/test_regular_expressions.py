"""What every supported Python matches alike: groups that are possessive match too much before 3.11.5."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_group_is_possessive() -> None:
    files = [file for package in ("runner", "sandbox") for file in (ROOT / package).rglob("*.py")]

    found = [str(file) for file in files if re.search(r"re\.compile\(.*\)[*+?]\+(?!,)", file.read_text())]

    assert found == []
