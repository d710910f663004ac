"""Reads a folder that others may write while it is read, and nothing but that folder.

Folders are opened by the descriptor of the folder above, files by that of their own folder, and neither through a link:
whatever is exchanged between the look and the read, no path leads out, see `links` too. What was opened must be what
was seen; what is no regular file is passed over, and what grows is read no further than it was long.

Who may put a file into the folder may also put one there that he cannot read himself: by a hard link, or by moving it.
A runner that is root, or another user, must not read it for him, see `_is_foreign`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from runner.catalog.links import OPEN_FOLDER, LeadsNowhereError, follow
from runner.domain.escaping import escaped, is_plain
from runner.errors import TasksFolderError

_MOST_FILES = 10_000
_MOST_BYTES = 100 << 20
_DEEPEST = 50
_TRIES = 10
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was read."""

    content: bytes
    is_executable: bool


@dataclass(frozen=True, slots=True)
class Contents:
    """A state that the folder was in.

    Attributes:
        files: by their paths below the folder, in order.
        refused: why a file is not among them, by its path, which is shown escaped.
    """

    files: dict[str, File] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class _ChangedMeanwhileError(Exception):
    """What was seen is not there any more; says which file."""


class _RefusedError(Exception):
    """One file is not read; says why."""


def read(folder: Path) -> Contents:
    """Read all of the folder, and again from the start if anything changed meanwhile.

    Raises:
        TasksFolderError: no such folder, too large, changing without end, or it cannot be read.
    """
    changed = ""
    for _ in range(_TRIES):
        try:
            with _opened(folder) as root:
                look = _Look(folder, root, reads=True)
                again = _Look(folder, root)
        except _ChangedMeanwhileError as error:
            changed = str(error)
            continue
        except OSError as error:
            raise TasksFolderError(f"cannot read {folder}: {error.strerror}") from error
        if look.listing == again.listing:
            return Contents(dict(sorted(look.files.items())), dict(sorted(look.refused.items())))
        changed = next(path for path, _ in look.listing.items() ^ again.listing.items())
    raise TasksFolderError(f"{folder} keeps changing while it is read: {escaped(changed)}")


def look(folder: Path) -> object:
    """What tells one state of the folder from another, without opening a file: equal as long as it is the same."""
    try:
        with _opened(folder) as root:
            seen = _Look(folder, root, opens=False)
            return seen.listing, seen.refused
    except (TasksFolderError, _ChangedMeanwhileError, OSError) as error:
        return str(error)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    # The folder itself may be a link: it lies in the project, which is the runner's own.
    try:
        root = os.open(folder, OPEN_FOLDER & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        raise TasksFolderError(f"no tasks folder {folder}; `isolane init` makes one") from None
    except NotADirectoryError:
        raise TasksFolderError(f"{folder} is no folder") from None
    except OSError as error:
        raise TasksFolderError(f"cannot read {folder}: {error.strerror}") from error
    try:
        yield root
    finally:
        os.close(root)


class _Look:
    """One walk over the folder.

    Attributes:
        listing: of each file and link what tells, without reading it, that it is still the same.
    """

    def __init__(self, folder: Path, root: int, *, opens: bool = True, reads: bool = False) -> None:
        self.listing: dict[str, object] = {}
        self.files: dict[str, File] = {}
        self.refused: dict[str, str] = {}
        self._folder, self._root, self._opens, self._reads = folder, root, opens, reads
        self._count, self._bytes = 0, 0
        self._walk(root, "", 0)

    def _walk(self, folder: int, below: str, depth: int) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                path = f"{below}{entry.name}"
                self._count += 1
                if self._count > _MOST_FILES:
                    raise self._too_large(path)
                if entry.name.startswith(".") or entry.name == "__pycache__":
                    continue
                try:
                    self._visit(folder, path, entry, depth)
                except _RefusedError as error:
                    self._refuse(path, str(error))
                except FileNotFoundError:
                    raise _ChangedMeanwhileError(path) from None

    def _visit(self, folder: int, path: str, entry: os.DirEntry[str], depth: int) -> None:
        if not is_plain(entry.name):
            raise _RefusedError("its name has characters that cannot be shown as they are; rename it")
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            if depth == _DEEPEST:
                raise _RefusedError(f"it lies more than {_DEEPEST} folders deep")
            self._descend(folder, path, entry.name, depth)
        elif stat.S_ISREG(status.st_mode):
            self._take(folder, path, entry.name, status)
        elif stat.S_ISLNK(status.st_mode):
            self._take_link(path)

    def _descend(self, folder: int, path: str, name: str, depth: int) -> None:
        below = self._open(folder, path, name, OPEN_FOLDER)
        try:
            self._walk(below, f"{path}/", depth + 1)
        finally:
            os.close(below)

    def _take(self, folder: int, path: str, name: str, status: os.stat_result) -> None:
        """Note a regular file, and read it."""
        if _is_foreign(status, os.fstat(folder)):
            raise _RefusedError(
                "it belongs to another user than its folder, or has another name elsewhere, and not everybody may read "
                "it: whoever put it here may not be allowed to read it himself; chmod a+r or copy it"
            )
        self._bytes += status.st_size
        if self._bytes > _MOST_BYTES:
            raise self._too_large(path)
        self.listing[path] = _identity(status)
        if not self._opens:
            return
        file = self._open(folder, path, name, _FILE)
        try:
            if _identity(os.fstat(file)) != _identity(status):
                raise _ChangedMeanwhileError(path)
            if self._reads:
                content = _content(file, path, status.st_size)
                self.files[path] = File(content, bool(status.st_mode & stat.S_IXUSR))
        finally:
            os.close(file)

    def _take_link(self, path: str) -> None:
        home = os.path.realpath(self._folder)
        with ExitStack() as opened:
            try:
                folder, name, status = follow(self._root, home, path, opened)
            except LeadsNowhereError:
                raise _RefusedError(
                    "it is a symbolic link, and leads to no file of the tasks folder; links within it may lead to "
                    "files of it only"
                ) from None
            self._take(folder, path, name, status)

    def _open(self, folder: int, path: str, name: str, flags: int) -> int:
        try:
            return os.open(name, flags, dir_fd=folder)
        except PermissionError as error:
            raise _RefusedError(f"it cannot be read: {error.strerror}") from error
        except OSError:  # a link by now, a socket, no folder any more
            raise _ChangedMeanwhileError(path) from None

    def _refuse(self, path: str, why: str) -> None:
        self.listing[path] = self.refused[escaped(path)] = why

    def _too_large(self, path: str) -> TasksFolderError:
        return TasksFolderError(
            f"{self._folder} holds more than {_MOST_FILES} files or {_MOST_BYTES >> 20} MB: {escaped(path)} is over "
            "it; keep data elsewhere and show it to tasks with [[mounts]]"
        )


def _content(file: int, path: str, size: int) -> bytes:
    chunks, left = [], size + 1
    while left and (chunk := os.read(file, min(left, _CHUNK_BYTES))):
        chunks.append(chunk)
        left -= len(chunk)
    if left != 1:
        raise _ChangedMeanwhileError(path)
    return b"".join(chunks)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _is_foreign(file: os.stat_result, folder: os.stat_result) -> bool:
    """Whether somebody who may write the folder could have put a file there that he may not read."""
    if file.st_mode & stat.S_IROTH or (file.st_mode & stat.S_IRGRP and file.st_gid == folder.st_gid):
        return False
    is_shared = bool(folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    return file.st_uid != folder.st_uid or is_shared  # moved there it looks like one of the owner's own
