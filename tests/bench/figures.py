"""Figures of one run of a benchmark: samples by name, and how they are shown as multiples of a floor."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

console = Console(width=120, highlight=False)


class Figures:
    """Seconds that things took, by what they were."""

    def __init__(self) -> None:
        self.samples: defaultdict[str, list[float]] = defaultdict(list)

    def add(self, name: str, *seconds: float) -> None:
        self.samples[name] += seconds

    def median(self, name: str) -> float:
        return statistics.median(self.samples[name])

    def quantile(self, name: str, share: float) -> float:
        ordered = sorted(self.samples[name])
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def floors(self, seconds: float) -> str:
        return f"{seconds / self.median('floor'):.2f}"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one."""
    shown = Table(title=title, title_justify="left", title_style="bold", min_width=70)
    for index, column in enumerate(columns):
        shown.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f}"


def verdicts(rows: Sequence[tuple[str, float, str, float]]) -> None:
    """Print ratios beside their targets: what, its value, "<=", "<" or ">=", and the target."""
    met = {"<=": lambda value, target: value <= target, "<": lambda a, b: a < b, ">=": lambda a, b: a >= b}
    table(
        "Ratios against their targets",
        ("", "measured", "target", ""),
        [
            (what, f"{value:.2f}", f"{sign} {target:g}", "met" if met[sign](value, target) else "NOT MET")
            for what, value, sign, target in rows
        ],
    )
