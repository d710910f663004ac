"""SECURITY.md and the tests name the same attacks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "SECURITY.md").read_text()
TABLE = DOCUMENT.partition("| class | rows |")[2]
LISTED = [line.split(" | ") for line in TABLE.splitlines() if line.startswith("| ") and "---" not in line]


def rows(text: str) -> set[int]:
    """The numbers in "1 to 6, 8"."""
    found = set()
    for part in text.split(", "):
        first, _, last = part.partition(" to ")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_every_attack_is_in_one_class() -> None:
    numbers = [number for line in LISTED for number in rows(line[1])]

    assert sorted(numbers) == list(range(1, max(numbers) + 1))


def test_every_attack_of_the_tests_is_listed() -> None:
    files = {path for line in LISTED for path in re.findall(r"`(tests/[\w/]+\.py)`", line[3])}
    tried = {
        int(number)
        for file in files
        for line in (ROOT / file).read_text().splitlines()
        for number in re.findall(r"(?:(?:^ *\(|^ {8}|ids=\[\")(?=\d\d\D)|test_)(\d{2,3})(?:,|-|_)", line)
    }
    listed = {number for line in LISTED for number in rows(line[1])}

    assert tried - listed == set()
    assert len(tried) > 60, "the tests number their attacks in another way now"


def test_every_file_that_is_named_is_there() -> None:
    named = re.findall(r"`(tests/[\w/.]+)`", TABLE) + re.findall(r"\]\(([\w/.]+)\)", DOCUMENT)

    assert [name for name in named if not (ROOT / name).exists()] == []
