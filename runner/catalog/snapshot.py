"""Snapshots of the tasks folder: each state of it that is used is kept whole, under the hash of its content.

A snapshot is taken by reading all files, and again from the start if anything changed meanwhile, so it is a state that
the folder really was in. It is written beside its place, fsynced and renamed there: `<hash>/` is complete or not there.
Regular files count; names that begin with a dot, and `__pycache__`, do not. A symbolic link to a file within the folder
counts as that file; any other is refused, since what it leads to is not part of the state.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.errors import TasksFolderError

#: The folder within a snapshot; mounted with the rest, it is the package `tasks`.
PACKAGE = "tasks"
_MOST_FILES = 10_000
_MOST_BYTES = 100 << 20
_TRIES = 10
_DRAFT = ".draft-"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of the tasks folder: its content's hash, and the folder that keeps it (and holds `tasks/`)."""

    hash: str
    path: Path


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    is_executable: bool


#: Relative path to what tells, without reading it, that a file is still the same.
_Listing = Mapping[str, tuple[int, ...]]


class _ChangedMeanwhileError(Exception):
    """A file changed while the folder was read."""


def take(folder: Path, into: Path) -> Snapshot:
    """Keep the state that `folder` is in under `into`; a state that is kept already is only checked.

    Raises:
        TasksFolderError: no such folder, too large, changing without end, or it cannot be read or kept.
    """
    for _ in range(_TRIES):
        try:
            files = _read(folder)
        except _ChangedMeanwhileError:
            continue
        break
    else:
        raise TasksFolderError(f"{folder} keeps changing while it is read")
    snapshot = Snapshot(_hash(files), into / _hash(files))
    try:
        if not is_whole(snapshot):
            _write(files, snapshot)
    except OSError as error:
        raise TasksFolderError(f"cannot keep a snapshot of {folder} in {into}: {error.strerror}") from error
    return snapshot


def is_whole(snapshot: Snapshot) -> bool:
    """Whether the snapshot is there and is what its hash says."""
    try:
        return _hash(_read(snapshot.path / PACKAGE)) == snapshot.hash
    except (TasksFolderError, _ChangedMeanwhileError):
        return False


def forget_unused(into: Path, in_use: set[str]) -> None:
    """Delete all snapshots but those `in_use`, and drafts that a crash left."""
    with os.scandir(into) as entries:
        unused = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name not in in_use]
    for path in unused:
        shutil.rmtree(path, ignore_errors=True)


def _read(folder: Path) -> dict[str, _File]:
    try:
        listing = _list(folder)
        files = {}
        for path in listing:
            # A name may be a link, but only to a file that was found to lie within the folder.
            with (folder / path).open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                files[path] = _File(file.read(_MOST_BYTES + 1), bool(mode & stat.S_IXUSR))
        if _list(folder) != listing:
            raise _ChangedMeanwhileError
    except FileNotFoundError as error:
        if not folder.is_dir():
            raise TasksFolderError(f"no tasks folder {folder}; `isolane init` makes one") from None
        raise _ChangedMeanwhileError from error
    except NotADirectoryError as error:
        raise TasksFolderError(f"{error.filename} is no folder") from error
    except OSError as error:
        raise TasksFolderError(f"cannot read {error.filename}: {error.strerror}") from error
    return files


def _list(folder: Path) -> _Listing:
    listing, total = {}, 0
    for path, status in _walk(folder, ""):
        listing[path] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode)
        total += status.st_size
        if len(listing) > _MOST_FILES or total > _MOST_BYTES:
            raise TasksFolderError(
                f"{folder} holds more than {_MOST_FILES} files or {_MOST_BYTES >> 20} MB; "
                "keep data elsewhere and show it to tasks with [[mounts]]"
            )
    return dict(sorted(listing.items()))


def _walk(root: Path, folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """The files below, with their paths relative to `root`."""
    folders = [folder]
    while folders:
        below = folders.pop()
        with os.scandir(root / below) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == "__pycache__":
                    continue
                path = f"{below}/{entry.name}" if below else entry.name
                if entry.is_symlink():
                    _check_link(root, root / path)
                if entry.is_dir():
                    folders.append(path)
                elif stat.S_ISREG((status := entry.stat()).st_mode):
                    yield path, status


def _check_link(root: Path, link: Path) -> None:
    """Refuse a link that does not lead to a file within the folder."""
    target = Path(os.path.realpath(link))
    if not target.is_file() or not target.is_relative_to(os.path.realpath(root)):
        raise TasksFolderError(
            f"{link} is a symbolic link to {target}; within the tasks folder, links may lead to files of it only"
        )


def _hash(files: Mapping[str, _File]) -> str:
    digest = hashlib.sha256()
    for path, file in files.items():
        name = os.fsencode(path)
        digest.update(b"%d:%b:%d:%d:" % (len(name), name, file.is_executable, len(file.content)))
        digest.update(file.content)
    return digest.hexdigest()[:32]


def _write(files: Mapping[str, _File], snapshot: Snapshot) -> None:
    into = snapshot.path.parent
    into.mkdir(parents=True, exist_ok=True)
    draft = into / f"{_DRAFT}{uuid.uuid4().hex}"
    try:
        _make_folder(draft / PACKAGE)
        for path, file in files.items():
            _make_folder((draft / PACKAGE / path).parent)
            _write_file(draft / PACKAGE / path, file)
        for folder, _, _ in os.walk(draft):
            _sync(Path(folder))
        if snapshot.path.exists():  # damaged, or it would have been used
            snapshot.path.rename(into / f"{_DRAFT}{uuid.uuid4().hex}")
        draft.rename(snapshot.path)
        _sync(into)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _make_folder(path: Path) -> None:
    # The task's own uid must get in, whatever this process's umask is.
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir()
            folder.chmod(0o755)


def _write_file(path: Path, file: _File) -> None:
    with path.open("xb") as out:
        out.write(file.content)
        os.fchmod(out.fileno(), 0o755 if file.is_executable else 0o644)
        out.flush()
        os.fsync(out.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
