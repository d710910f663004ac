"""Programs with a set-user-id or set-group-id bit, or with capabilities, that lie in a folder which tasks may write.

The filter lets no task set such a bit. The kernel takes an existing one away when the file is written to, but not when
it is changed through shared memory (mmap): a task could change what such a program does. So a folder that holds one is
not mounted writable. Each folder is searched once for each sandbox; what the host puts there later is not found.
"""

from __future__ import annotations

import os
import stat

#: No more entries of a folder are searched.
_MOST_ENTRIES = 100_000
_CAPABILITIES = "security.capability"


def find(source: str) -> str:
    """The first such program at or below `source`, empty if there is none; what cannot be read is skipped."""
    looked_at = 0
    places = [source]
    while places and looked_at < _MOST_ENTRIES:
        place = places.pop()
        try:
            status = os.lstat(place)
            if stat.S_ISDIR(status.st_mode):
                places += (entry.path for entry in os.scandir(place) if not entry.is_symlink())
            elif stat.S_ISREG(status.st_mode) and (_gives_identity(status.st_mode) or _gives_capabilities(place)):
                return place
        except OSError:
            continue
        looked_at += 1
    return ""


def _gives_identity(mode: int) -> bool:
    """Whether the mode has such a bit; a set-group-id bit without the right to execute means something else."""
    return bool(mode & stat.S_ISUID) or mode & (stat.S_ISGID | stat.S_IXGRP) == stat.S_ISGID | stat.S_IXGRP


def _gives_capabilities(path: str) -> bool:
    try:
        os.getxattr(path, _CAPABILITIES, follow_symlinks=False)
    except OSError:
        return False
    return True
