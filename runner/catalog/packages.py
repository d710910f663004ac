"""Whether an installed package changed, told from dates and names without reading a file.

Attempts that start warm are forked from a process that has imported packages earlier; one that was upgraded, installed
or removed meanwhile must not stay in them. pip exchanges whole files and folders, which shows in the dates of their
folders.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

_FOLDERS = ("site-packages", "dist-packages")
_MOST_ENTRIES = 20_000


def signature() -> str:
    """What differs once a package that tasks can import was changed."""
    digest = hashlib.sha256(sys.version.encode())
    for entry in sys.path:
        if os.path.basename(entry) in _FOLDERS:  # as the sandbox has it  # noqa: PTH119
            for line in sorted(_dates(Path(entry))):
                digest.update(line)
    return digest.hexdigest()


def _dates(folder: Path) -> list[bytes]:
    """Of each package: the folder, and the files directly in it, of which one changes with each upgrade."""
    lines: list[bytes] = []
    try:
        with os.scandir(folder) as packages:
            for package in packages:
                if package.name == "__pycache__" or len(lines) > _MOST_ENTRIES:
                    continue
                lines.append(_line(package))
                if package.is_dir(follow_symlinks=False):
                    with os.scandir(package.path) as parts:
                        lines += [_line(part) for part in parts if part.name != "__pycache__"]
    except OSError:
        pass  # it goes or changes right now: the next look tells
    return lines


def _line(entry: os.DirEntry[str]) -> bytes:
    status = entry.stat(follow_symlinks=False)
    is_folder = entry.is_dir(follow_symlinks=False)
    # A folder's date also changes when compiled files are put into it, and only its own names matter here.
    date = 0 if is_folder else status.st_mtime_ns
    return b"%b\0%d\0%d\n" % (os.fsencode(entry.path), date, 0 if is_folder else status.st_ino)
