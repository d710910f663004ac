"""Folders for temporary files where an attempt has no filesystem of its own: below level full.

One for each attempt, in a folder beside the lock file, on the host and as its user. Whoever holds the lock knows that
nothing of an earlier runner is alive, and removes what it left. The task chooses the names in such a folder, so they
are never followed, only removed, relative to the folder that they are in.

The task also chooses the shape: folders may be nested deeper than any stack or path allows, may not be readable, and
may hold more than can be removed in a moment.
"""

from __future__ import annotations

import contextlib
import os
import sys


def folder_of(lock: int) -> str:
    """Where the folders are made, by the open lock file."""
    return os.readlink(f"/proc/self/fd/{lock}") + ".scratch"


def make(base: str, name: str) -> str:
    """A new, empty folder that only this user can enter."""
    os.makedirs(base, mode=0o700, exist_ok=True)
    path = f"{base}/{name}"
    os.mkdir(path, 0o700)
    return path


def clear(path: str, most: int = sys.maxsize) -> bool:
    """Remove a folder with all that is in it, if it exists. Nothing that writes to it may be alive.

    Returns `False` if it holds more than `most`, and the rest is left. What cannot be removed is left too.
    """
    with contextlib.suppress(OSError):
        top = _open(path)
        try:
            if not _empty(top, most):
                return False
        finally:
            os.close(top)
        os.rmdir(path)
    return True


def _empty(top: int, most: int) -> bool:
    """Remove what is in an open folder; folders further down are moved up into it first. Raises `OSError`."""
    prefix = os.urandom(16).hex()  # a name that is not taken
    names = os.listdir(top)
    moved = removed = 0
    while names:
        removed += 1
        if removed > most:
            return False
        name = names.pop()
        if _unlink(name, top):
            continue
        os.chmod(name, 0o700, dir_fd=top)
        folder = _open(name, top)
        try:
            for inner in os.listdir(folder):
                removed += 1
                if removed > most:
                    return False
                if not _unlink(inner, folder):
                    os.chmod(inner, 0o700, dir_fd=folder)  # to move a folder takes the right to write to it
                    moved += 1
                    names.append(f"{prefix}{moved}")
                    os.rename(inner, names[-1], src_dir_fd=folder, dst_dir_fd=top)
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=top)
    return True


def _unlink(name: str, folder: int) -> bool:
    """`False` if it is a folder."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        return False
    return True


def _open(path: str, folder: int | None = None) -> int:
    """Open a folder. Raises `OSError` for anything else, a symbolic link too."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
