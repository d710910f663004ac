"""Moves all that one store holds into another: a store without runs, or one in which the same copy was interrupted.

Both are opened as they are, and neither may be in use: a SQLite file has its lock, in a shared store nodes say that
they live, and a store that is half a copy takes no node. Rows go over in pages, each put in at once and for good; a
copy that is made again leaves what is there and adds what is not.
"""

from __future__ import annotations

from collections.abc import Callable

from runner.errors import ConflictError
from runner.store.contents import TABLES, Table
from runner.store.contract import Store

_ROWS_AT_ONCE = 1000
_LIVES = 2  # leases: a node that was not seen for longer is gone


async def copy(source: Store, target: Store, name: str, advance: Callable[[str, int, int], None]) -> dict[str, int]:
    """Copy all rows from `source`, called `name`, to `target`, both open; how many rows of each table there are.

    `advance` is told the table, how many of its rows have gone over, and how many there are.

    Raises:
        ConflictError: one of them is in use, runs are still running, or the target holds other runs.
    """
    await _check_unused(source, "the store to copy from")
    await _check_unused(target, "the store to copy to")
    running = len(await source.orphans())
    if running:
        raise ConflictError(
            f"the store to copy from holds {running} runs that are still running: start a runner on it once and stop "
            "it, so that they are given back or recorded as lost, then copy"
        )
    rows, into = source.contents(), target.contents()
    await into.begin_copy(name)
    copied: dict[str, int] = {}
    for table in TABLES:
        copied[table.name] = await _copy_table(source, target, table, advance)
    await _check_unused(source, "the store to copy from")
    await into.end_copy(await rows.numbers())
    return copied


async def _copy_table(source: Store, target: Store, table: Table, advance: Callable[[str, int, int], None]) -> int:
    rows, into = source.contents(), target.contents()
    total, done, after = await rows.count(table), 0, None
    advance(table.name, done, total)
    while page := await rows.page(table, after, _ROWS_AT_ONCE):
        await into.put(table, page)
        after = table.key_of(page[-1])
        done += len(page)
        advance(table.name, done, total)
    return done


async def _check_unused(store: Store, which: str) -> None:
    now = store.now()
    living = [
        state.info.name
        for state in await store.nodes()
        if not state.buried and now - state.last_seen < _LIVES * state.info.lease_s * 1_000_000
    ]
    if living:
        raise ConflictError(
            f"{which} is in use by {', '.join(sorted(living))}: stop its nodes (one that was killed counts for two of "
            "its leases more), then copy; for a copy beside nodes that go on, use pg_dump"
        )
