"""Folders for temporary files where an attempt has no filesystem of its own: below level full.

One for each attempt, in a folder beside the lock file, on the host and as its user. Whoever holds the lock knows that
nothing of an earlier runner is alive, and clears away what it left. Names in such a folder are the task's: they are
never followed, only removed, relative to the folder that they are in.
"""

from __future__ import annotations

import os


def folder_of(lock: int) -> str:
    """Where the folders are made, by the open lock file."""
    return os.readlink(f"/proc/self/fd/{lock}") + ".scratch"


def make(base: str, name: str) -> str:
    """A new, empty folder that only this user can enter."""
    os.makedirs(base, mode=0o700, exist_ok=True)
    path = f"{base}/{name}"
    os.mkdir(path, 0o700)
    return path


def clear(path: str) -> None:
    """Remove a folder with all that is in it, if it is there. Nothing that writes to it may be alive."""
    if os.path.lexists(path):
        import shutil  # noqa: PLC0415 - at level full nothing of it is needed

        shutil.rmtree(path, ignore_errors=True)
