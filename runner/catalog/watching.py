"""Tells when the tasks folder changes; also when it is moved away, deleted or replaced, and comes back.

Two look at once. The kernel tells of a save at once, but not of everything: nothing of what a link leads to, nothing on
a network's filesystem, and nothing at all where its watches are used up. So the folder is also looked at every few
seconds, as a snapshot sees it, without reading a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from watchfiles import watch as watch_files

from runner.catalog.folder import look

#: How long it must be quiet after a change, so that saving many files is one.
_QUIET_MS = 100
#: A change is told after this even if others keep coming.
_LATEST_MS = 250
#: How often to look whether the folder is still the one that is watched: the kernel does not tell of every move.
_SAME_MS = 1000
#: The kernel is asked about no more than this.
_MOST_FOLDERS, _MOST_NAMES = 1_000, 10_000
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
        except (FileNotFoundError, NotADirectoryError):
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
    """Listen until `folder` has other folders than now. One that is not there is watched for from above."""
    folders = await asyncio.to_thread(_folders, folder) if identity else {}
    enough, thread = threading.Event(), ThreadPoolExecutor(1, "watching")
    noticed = watch_files(
        *(folders or [next(parent for parent in folder.parents if parent.is_dir())]),
        watch_filter=lambda _, path: _counts(path.rpartition("/")[2]),
        debounce=_LATEST_MS,
        step=_QUIET_MS,
        rust_timeout=_SAME_MS,
        yield_on_timeout=True,
        stop_event=enough,
        raise_interrupt=False,
        recursive=False,  # or the kernel is asked about all that a link leads to
        force_polling=False,
        ignore_permission_denied=True,
    )
    is_new = True
    try:
        # In a thread: whoever may write there can change a hundred thousand names a second.
        while (changes := await asyncio.get_running_loop().run_in_executor(thread, next, noticed, None)) is not None:
            if _identity(folder) != identity or (changes and await asyncio.to_thread(_folders, folder) != folders):
                return
            if identity and (changes or is_new):
                is_new = False
                changed()
    finally:
        enough.set()
        await asyncio.get_running_loop().run_in_executor(thread, noticed.close)  # behind the last look
        thread.shutdown(wait=False)


def _folders(folder: Path) -> dict[str, tuple[int, int]]:
    """The folders that count, with what tells each from another of its name; none of them through a link.

    Raises:
        OSError: they are too many, or not there any more.
    """
    found: dict[str, tuple[int, int]] = {}
    left, names = [str(folder)], 0
    while left:
        path = left.pop()
        status = Path(path).stat()
        found[path] = status.st_dev, status.st_ino
        with contextlib.suppress(PermissionError), os.scandir(path) as entries:
            for entry in entries:
                names += 1
                if _counts(entry.name) and entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                if names > _MOST_NAMES or len(found) + len(left) > _MOST_FOLDERS:
                    raise OSError(f"it has more than {_MOST_NAMES} names or {_MOST_FOLDERS} folders")
    return found


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _counts(name: str) -> bool:
    """Whether what is called so may be part of a snapshot."""
    return not name.startswith(".") and name != "__pycache__"
