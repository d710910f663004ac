"""Which runs to list. Each filter stands here once: the command line, HTTP, the SDK and both stores ask this table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from runner.domain.checks import one_of
from runner.domain.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One filter.

    Attributes:
        help: for people, on the command line.
        condition: in SQL that every database takes, {} for the value; "" where a store finds such runs in its own way.
        read: from the text of a query, and the filter's name, to the value.
        choices: the words that it takes, any of several at once; without them it takes one text.
    """

    help: str
    condition: str = ""
    read: Callable[[str, str], Any] = lambda text, _: text
    choices: tuple[str, ...] = ()


def _status(text: str, name: str) -> Status:
    return Status(one_of(text, name, Status))


FILTERS = {
    "status": Filter(help="May repeat.", read=_status, choices=tuple(Status)),
    "task": Filter(help="Runs of this task.", condition="task = {}"),
    # The second half is what the index of queues is limited to.
    "queue": Filter(help="Runs of this queue.", condition="queue = {} AND queue <> ''"),
    "tag": Filter(help="Runs with this tag."),
}


class RunFilters(TypedDict, total=False):
    """The filters as `Client.runs` takes them."""

    status: str | Sequence[str]
    task: str | None
    queue: str | None
    tag: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """The filters as a store takes them, and the page; `None` means any."""

    app: str
    status: frozenset[Status] | None = None
    task: str | None = None
    queue: str | None = None
    tag: str | None = None
    cursor: str | None = None
    limit: int = 50

    def conditions(self, place: Callable[[object], str]) -> list[str]:
        """What a run has to meet, in SQL; `place` takes a value and gives its placeholder."""
        given = ((name, getattr(self, name)) for name, each in FILTERS.items() if each.condition)
        return [FILTERS[name].condition.format(place(value)) for name, value in given if value is not None]


def read_filters(texts: Callable[[str], Sequence[str]]) -> dict[str, Any]:
    """What is given of the filters, as `RunFilter` takes it; `texts` gives what is written for a filter's name.

    Raises:
        InvalidOptionError: not what the filter takes.
    """
    read = {name: [each.read(text, name) for text in texts(name)] for name, each in FILTERS.items()}
    return {name: frozenset(values) if FILTERS[name].choices else values[0] for name, values in read.items() if values}
