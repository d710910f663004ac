"""Tells when the tasks folder changes; also when it is moved away, deleted or replaced, and comes back."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

from watchfiles import awatch

#: How long it must be quiet after a change, so that saving many files is one.
_QUIET_MS = 100
#: A change is told after this even if others keep coming.
_LATEST_MS = 1000
#: How often to look whether the folder is still the one that is watched: the kernel does not tell of every move.
_LOOK_MS = 1000

_logger = logging.getLogger(__name__)


async def watch(folder: Path) -> AsyncIterator[None]:
    """Yield after changes below `folder`, and once soon after the watch stands, for what was saved just before."""
    polling = None
    while True:
        identity = _identity(folder)
        try:
            async for _ in _watch_while(folder, identity, polling=polling):
                yield
        except FileNotFoundError:
            continue  # it went while the watch was set up
        except OSError as error:
            if polling:
                raise
            _logger.warning(
                "%s is watched by looking at it again and again, since the kernel refuses: %s", folder, error
            )
            polling = True
            continue
        yield


async def _watch_while(folder: Path, identity: tuple[int, int] | None, *, polling: bool | None) -> AsyncIterator[None]:
    """Watch until `folder` is not the same folder any more. One that is not there is watched for from above."""
    watched = folder if identity else next(parent for parent in folder.parents if parent.is_dir())
    noticed = awatch(
        watched,
        watch_filter=lambda _, path: _counts(folder, Path(path)),
        debounce=_LATEST_MS,
        step=_QUIET_MS,
        rust_timeout=_LOOK_MS,
        yield_on_timeout=True,
        recursive=identity is not None,
        force_polling=polling,
        ignore_permission_denied=True,
    )
    is_new = True
    async with aclosing(noticed):
        async for changes in noticed:
            if _identity(folder) != identity:
                return
            if identity and (changes or is_new):
                is_new = False
                yield


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
