"""Which run is meant by what was written: its id, a beginning of its id that no other has, or `@last`.

Beginnings are looked for among the newest runs, in pages; a whole id goes to the server as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from runner.cli.lazy import Failed
from runner.domain.escaping import escaped
from runner.sdk.client import Client

LAST = "@last"

_BEGINNING = re.compile("(?=.{4,35}$)[0-9a-f]{1,8}(-[0-9a-f]{0,12}){0,4}")
_PER_PAGE = 1000
_MOST_PAGES = 10
_MOST_SHOWN = 10

Document = dict[str, Any]


def run_named(server: Client, name: str) -> str:
    """The id of the run.

    Raises:
        Failed: several runs begin like this, none of the newest does, or there is no last run.
    """
    if name == LAST:
        return _last(server)
    if not _BEGINNING.fullmatch(name):
        return name
    found = [run for run in _newest(server) if run["id"].startswith(name)]
    if not found:
        raise Failed(f"none of the newest {_PER_PAGE * _MOST_PAGES} runs has an id that begins with {name}")
    if len(found) > 1:
        shown = [f"{run['id']} {run['status']} {escaped(run['task'])}" for run in found[:_MOST_SHOWN]]
        more = [f"and {len(found) - _MOST_SHOWN} more"] if len(found) > _MOST_SHOWN else []
        raise Failed("\n".join([f"{len(found)} runs have an id that begins with {name}:", *shown, *more]))
    return str(found[0]["id"])


def _last(server: Client) -> str:
    """The newest run that was asked for from outside: neither a schedule nor a task would be meant."""
    for run in _newest(server):
        if run["schedule"] is None and run["parent"] is None:
            return str(run["id"])
    raise Failed(f"{LAST} is the newest run that neither a schedule nor a task made, and there is none")


def _newest(server: Client) -> Iterator[Document]:
    cursor = None
    for _ in range(_MOST_PAGES):
        page = server.runs(limit=_PER_PAGE, cursor=cursor)
        yield from page["items"]
        cursor = page["next_cursor"]
        if not cursor:
            return
