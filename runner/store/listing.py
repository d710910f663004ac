"""Lists, for every database: how long a page is, where the next one goes on, and which statements find filtered runs.

A cursor has a form that nobody is tempted to make up.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Sequence

from runner.domain.options.run_filter import RunFilter
from runner.domain.status import Status
from runner.errors import InvalidOptionError
from runner.store.storable_text import is_kept

_BYTES = 8_000_000
_LONGEST = 1000
#: Filters with an index of their own, `runs_by_<name>`, the most telling one first: the others are tested row by row.
_INDEXED = ("queue", "task")


def length(asked: int) -> int:
    """How many items a page has that is asked to have so many."""
    return max(1, min(asked, _LONGEST))


def fitting(sizes: Iterable[int]) -> int:
    """How many items of these sizes, in characters, a page holds: the first always, more until they are heavy."""
    count = total = 0
    for size in sizes:
        total += size
        if count and total > _BYTES:
            break
        count += 1
    return count


def cursor_after(kind: str, positions: Sequence[object], count: int) -> str | None:
    """The cursor of a page that ends after `count` of these positions, `None` where those are all."""
    if count == len(positions):
        return None
    return base64.urlsafe_b64encode(f"{kind}:{positions[count - 1]}".encode()).decode()


def position_of(kind: str, cursor: str) -> str:
    """The position in a cursor.

    Raises:
        InvalidOptionError: it is not one that a list of this kind gave.
    """
    try:
        named, _, position = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition(":")
        if named == kind and is_kept(position) and (kind != "run" or 0 <= int(position) < 2**63):
            return position
    except (binascii.Error, ValueError):
        pass
    raise InvalidOptionError(f"cursor {cursor!r} is not one that a list gave: leave it out to begin anew")


def newest_runs(
    wanted: RunFilter, limit: int, *, mark: Callable[[int], str], source: Callable[[str | None], str]
) -> Iterator[tuple[str, list[object]]]:
    """Statements with their values; the newest `limit` of what all of them find together are the runs.

    Args:
        wanted: the filter.
        limit: how many runs to find.
        mark: how the database writes the value at a place, counted from 1.
        source: what to select from, so that this index is used; `None` is the table of tags, joined with the runs.
    """
    values: list[object] = []

    def place(value: object) -> str:
        values.append(value)
        return mark(len(values))

    tests = [f"runs.app = {place(wanted.app)}", *wanted.conditions(place)]
    indexed = next((name for name in _INDEXED if getattr(wanted, name) is not None), "status")
    table, key = source(f"runs_by_{indexed}"), "runs.seq"
    if wanted.tag is not None:
        table, key = source(None), "run_tags.run"
        tests.append(f"run_tags.app = {place(wanted.app)} AND run_tags.tag = {place(wanted.tag)}")
    if wanted.cursor:
        tests.append(f"runs.seq < {place(int(position_of('run', wanted.cursor)))}")
    statuses = sorted(Status if wanted.status is None else wanted.status)
    # The index of statuses is in order of age within each status only: one short list for each.
    by_status = wanted.tag is None and indexed == "status"
    fixed = len(values)
    for group in [[status] for status in statuses] if by_status else filter(None, [statuses]):
        del values[fixed:]
        tests_of_group = [*tests, f"status IN ({', '.join(place(status.value) for status in group)})"]
        statement = (
            f"SELECT runs.seq FROM {table} WHERE {' AND '.join(tests_of_group)} ORDER BY {key} DESC LIMIT {limit}"  # noqa: S608 - made of the names above only
        )
        yield statement, list(values)
