"""How documents look to people: tables, times, and text of which nothing reaches the terminal as a command.

Whatever comes from a task, a caller or a log is hostile here: control characters and those that turn the direction of
text are shown escaped. Colour is for terminals only; NO_COLOR turns it off there too.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from runner.cli.display.output import say
from runner.domain.escaping import escaped, escaped_json
from runner.units import describe_seconds

#: A table that goes to a file or a pipe is never cut.
_ENDLESS_COLUMNS = 10_000
#: Between two columns of a table.
_GAP = 2

STATUS_STYLES = {
    "running": "cyan",
    "succeeded": "green",
    "failed": "red",
    "expired": "yellow",
    "cancelled": "yellow",
    "retrying": "yellow",
}


def console(*, stderr: bool = False, whole: bool = False) -> Console:
    """A console for tables; with `whole` it is as wide as they are."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() and not whole else _ENDLESS_COLUMNS
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def print_json(document: Any) -> None:
    """The document as JSON, equal to what HTTP gives; harmless to a terminal."""
    say(escaped_json(_pretty(document)))


def print_json_lines(documents: Iterable[Any]) -> None:
    """Documents as they come, each on a line of its own."""
    for document in documents:
        text = json.dumps(document, ensure_ascii=not _speaks_unicode(), separators=(",", ":"))
        say(escaped_json(text))


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=not _speaks_unicode())


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def room_beside(columns: Sequence[Column], rows: Sequence[Sequence[str | Text]]) -> int:
    """How many columns a terminal has left beside such a table; 0 where stdout is none."""
    if not sys.stdout.isatty():
        return 0
    lines = [[column.header for column in columns], *rows]
    taken = sum(max(map(_width, cells)) + _GAP for cells in zip(*lines, strict=True))
    return max(shutil.get_terminal_size().columns - taken, 0)


def cut(text: str, columns: int) -> Text:
    """Text in so many columns of a terminal, with an ellipsis where it is cut."""
    shown = Text(escaped(text))
    shown.truncate(columns, overflow="ellipsis")
    return shown


def _width(cell: Any) -> int:
    return (cell if isinstance(cell, Text) else Text(escaped(cell))).cell_len


def print_table(columns: Sequence[Column | str], rows: Iterable[Sequence[str | Text]], *, whole: bool = False) -> None:
    """Rows under short headings; the rows' own text is escaped. With `whole` nothing is cut to fit a terminal."""
    table = Table(*columns, box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(escaped(cell)) for cell in row))
    console(whole=whole).print(table)


def print_facts(facts: Iterable[tuple[str, str | Text | None]]) -> None:
    """One thing's facts, a line each; those that are `None` are left out."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        if value is not None:
            table.add_row(name, value if isinstance(value, Text) else Text(escaped(value)))
    console().print(table)


def print_block(title: str, text: str) -> None:
    """Text of several lines, indented under its title."""
    out = console()
    out.print(Text(f"\n{title}", style="dim"))
    for line in text.splitlines():
        out.print(Text(f"  {escaped(line)}"), soft_wrap=True)


def json_block(value: Any) -> str:
    """A JSON value as lines for `print_block`."""
    return _pretty(value)


def id_column(name: str) -> Column:
    """A column for ids: kept whole, so that they can be copied."""
    return Column(name, no_wrap=True, min_width=36)


def name_column(name: str) -> Column:
    """A column for names, cut where the terminal is too narrow."""
    return Column(name, overflow="ellipsis")


def short_column(name: str) -> Column:
    """A column for words and numbers that are never cut."""
    return Column(name, no_wrap=True)


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=STATUS_STYLES.get(status, ""))


def ago(time: str | None) -> str:
    """An instant seen from now: "3m ago", "in 2h"; "" for none."""
    if time is None:
        return ""
    distance_s = (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()
    if abs(distance_s) < 1:
        return "now"
    length = describe_seconds(float(int(abs(distance_s)))).split(" ")[0]
    return f"{length} ago" if distance_s > 0 else f"in {length}"


def took(begin: str | None, end: str | None) -> str:
    """How long something took, or has taken if it goes on; "" where it has not begun."""
    if begin is None:
        return ""
    until = datetime.now(UTC) if end is None else datetime.fromisoformat(end)
    lasted_s = max(0.0, (until - datetime.fromisoformat(begin)).total_seconds())
    return describe_seconds(round(lasted_s, 3) if lasted_s < 10 else float(int(lasted_s)))


def instant(time: str | None) -> str | None:
    """An instant in full, and seen from now; `None` for none."""
    return None if time is None else f"{time[:19].replace('T', ' ')} UTC ({ago(time)})"


def size(count: int | None) -> str:
    """Bytes for people, "" for none."""
    if count is None:
        return ""
    return f"{count / (1 << 20):.0f} MB" if count < 10 << 30 else f"{count / (1 << 30):.0f} GB"
