"""Shared by the tasks that count words."""

from collections import Counter
from pathlib import Path

TEXTS = Path("/data/texts")


def count_words(name: str) -> Counter[str]:
    """How often each word occurs in one of the texts."""
    path = TEXTS / name
    if path.parent != TEXTS or not path.is_file():
        raise ValueError(f"there is no text {name!r}; there are {', '.join(list_texts())}")
    words = (word.strip(".,:;!?'\"").lower() for word in path.read_text().split())
    return Counter(word for word in words if word)


def list_texts() -> list[str]:
    """The names of all texts."""
    return sorted(path.name for path in TEXTS.glob("*.txt"))
