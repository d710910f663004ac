"""The lock file of a sandbox that was given none: in a folder of its own among the temporary files.

The folder is removed when the sandbox is closed. A process that was killed leaves its folder. The next sandbox of the
same user finds that; if it gets the lock in it, nothing of that process is alive, and it removes the folder and its
cgroups.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

from sandbox.errors import SetupError
from sandbox.host.cgroups import cgroup

_PREFIX = "isolane-sandbox-"
#: A younger folder may be one whose owner has yet to take its lock.
_LEAST_AGE_S = 60.0


def make() -> Path:
    """The path of a lock file in a new folder. Raises `SetupError`."""
    try:
        clear_abandoned()
        return Path(tempfile.mkdtemp(prefix=_PREFIX)) / "lock"
    except OSError as error:
        raise SetupError.caused_by("temporary folder", error) from error


def clear(lock_file: Path) -> None:
    """Remove the folder of a lock file that `make` gave."""
    shutil.rmtree(lock_file.parent, ignore_errors=True)


def clear_abandoned() -> None:
    """Remove the folders of killed processes of this user."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            found = folder.lstat()
            if found.st_uid == os.geteuid() and found.st_mtime < time.time() - _LEAST_AGE_S:
                _clear_if_free(folder / "lock")
        except OSError:
            continue  # held, or removed by another process meanwhile


def _clear_if_free(lock_file: Path) -> None:
    held = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        groups = cgroup.find(lock_file)
        if groups is not None:
            groups.sweep()
            groups.close()
        clear(lock_file)
    finally:
        os.close(held)
