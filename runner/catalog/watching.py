"""Tells when the tasks folder changes; also when it is moved away, deleted or replaced, and comes back.

Two look at once. The kernel tells of a save at once, but not of everything: nothing of what a link leads to, nothing on
a network's filesystem, and nothing at all where its watches are used up. So the folder is also looked at every few
seconds, as a snapshot sees it, without reading a file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

from watchfiles import awatch

from runner.catalog.folder import look

#: How long it must be quiet after a change, so that saving many files is one.
_QUIET_MS = 100
#: A change is told after this even if others keep coming.
_LATEST_MS = 1000
#: How often to look whether the folder is still the one that is watched: the kernel does not tell of every move.
_SAME_MS = 1000
#: How often the folder is looked at; less often where that takes long, so that it never takes more of a processor.
_LOOK_S = 2.0
_LARGEST_SHARE = 0.01
#: When to ask the kernel again after it refused.
_AGAIN_S = 60.0

_logger = logging.getLogger(__name__)


async def watch(folder: Path, beside: Callable[[], object]) -> AsyncGenerator[None, None]:
    """Yield after changes below `folder`, and once soon after the watch stands, for what was saved just before.

    Also when `beside`, called in a thread whenever the folder is looked at, returns something else than before.
    """
    noticed = asyncio.Event()

    def state() -> object:
        return look(folder), beside()

    watchers = [asyncio.create_task(each) for each in (_listen(folder, noticed.set), _look_often(state, noticed.set))]
    try:
        while True:
            await noticed.wait()
            noticed.clear()
            yield
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)


async def _look_often(state: Callable[[], object], changed: Callable[[], None]) -> None:
    clock, seen = asyncio.get_running_loop().time, await asyncio.to_thread(state)
    changed()
    while True:
        began = clock()
        now = await asyncio.to_thread(state)
        if now != seen:
            seen = now
            changed()
        await asyncio.sleep(max(_LOOK_S, (clock() - began) / _LARGEST_SHARE))


async def _listen(folder: Path, changed: Callable[[], None]) -> None:
    """Have the kernel tell; where it cannot, say so once: looking often goes on."""
    is_told = False
    while True:
        try:
            await _listen_while(folder, _identity(folder), changed)
            changed()
        except FileNotFoundError:
            await asyncio.sleep(_QUIET_MS / 1000)  # it went while the watch was set up
        except Exception as error:  # whatever it is, nobody else would notice
            if not is_told:
                is_told = True
                _logger.warning(
                    "the kernel does not tell of changes in %s, so they are noticed some seconds later: %s",
                    folder,
                    error,
                )
            await asyncio.sleep(_AGAIN_S)


async def _listen_while(folder: Path, identity: tuple[int, int] | None, changed: Callable[[], None]) -> None:
    """Listen until `folder` is not the same folder any more. One that is not there is watched for from above."""
    noticed = awatch(
        folder if identity else next(parent for parent in folder.parents if parent.is_dir()),
        watch_filter=lambda _, path: _counts(folder, Path(path)),
        debounce=_LATEST_MS,
        step=_QUIET_MS,
        rust_timeout=_SAME_MS,
        yield_on_timeout=True,
        recursive=identity is not None,
        force_polling=False,
        ignore_permission_denied=True,
    )
    is_new = True
    async with aclosing(noticed):
        async for changes in noticed:
            if _identity(folder) != identity:
                return
            if identity and (changes or is_new):
                is_new = False
                changed()


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _counts(folder: Path, path: Path) -> bool:
    """Whether a change of this path may change a snapshot."""
    below = path.relative_to(folder).parts if path.is_relative_to(folder) else ()
    return not any(part.startswith(".") or part == "__pycache__" for part in below)
