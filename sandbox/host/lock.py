"""The lock file: whoever gets it knows that everything launched under it earlier is dead.

The runner takes it (flock, exclusive) and hands the open file to the launcher, which holds it until it has seen the
end of everything that it launched; supervisors hold it too, in case the launcher is killed. A lock belongs to the open
file, not to a process: it is free when the last process has closed that file. Tasks never have it open.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

from sandbox.errors import SetupError

_PATIENCE_S = 20.0
_PAUSE_S = 0.05


async def acquire(path: Path) -> int:
    """The descriptor of the locked file. Raises `SetupError` if it is still held after 20 seconds."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupError.caused_by("lock file", error) from error
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while not _try(descriptor):  # noqa: ASYNC110 - a blocking flock could not be cancelled
                await asyncio.sleep(_PAUSE_S)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, TimeoutError):
            reason = f"{path} is held: another runner, or what it launched, is alive"
            raise SetupError("lock file", reason) from None
        raise
    return descriptor


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
