"""Snapshots of the tasks folder: each state of it that is used is kept whole, under the hash of its content.

A snapshot is a state that the folder really was in, see `folder`. It is written beside its place, fsynced and renamed
there: `<hash>/` is complete or not there. Regular files count; names that begin with a dot, and `__pycache__`, do not.
A symbolic link to a file within the folder counts as that file; any other is refused, since what it leads to is not
part of the state. What is refused is not in the snapshot, and harms nothing else in it.

Folders beside it that the tasks import from (`[code] packages`) are part of the state, each under its own name in
`<hash>/packages/`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from runner.catalog.folder import File, read
from runner.errors import TasksFolderError

#: The folder within a snapshot; mounted with the rest, it is the package `tasks`.
PACKAGE = "tasks"
_BESIDE = "packages"
_DRAFT = ".draft-"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of the tasks folder: its content's hash, and the folder that keeps it (and holds `tasks/`).

    Attributes:
        refused: why a file of the folder is not in it, by its path below the folder, which is shown escaped.
        beside: the hash of what is beside the tasks folder, empty where nothing is.
    """

    hash: str
    path: Path
    refused: Mapping[str, str] = field(default_factory=dict)
    beside: str = ""


def take(folder: Path, into: Path, beside: Mapping[str, Path] = MappingProxyType({})) -> Snapshot:
    """Keep the state that `folder` is in under `into`; a state that is kept already is only checked.

    So are the folders `beside` it, each named by a number and its own name, such as "0/shoplib".

    Raises:
        TasksFolderError: no such folder, too large, changing without end, or it cannot be read or kept.
    """
    contents = read(folder)
    others = _read_beside(beside)
    files = {**contents.files, **others}
    code = _hash(files)
    snapshot = Snapshot(code, into / code, contents.refused, _hash(others) if others else "")
    try:
        if not is_whole(snapshot):
            _write(files, snapshot)
    except OSError as error:
        raise TasksFolderError(f"cannot keep a snapshot of {folder} in {into}: {error.strerror}") from error
    return snapshot


def is_whole(snapshot: Snapshot) -> bool:
    """Whether the snapshot is there and is what its hash says."""
    try:
        others = _read_beside(_kept_beside(snapshot.path))
        return _hash({**read(snapshot.path / PACKAGE).files, **others}) == snapshot.hash
    except (OSError, TasksFolderError):
        return False


def import_path(snapshot: Path, seen_at: str) -> tuple[str, ...]:
    """Where modules of a snapshot are imported from that is seen at `seen_at`: itself, then the folders beside it.

    A folder that is a package is imported by its own name; otherwise what lies in it is, and what lies in its `src`.
    """
    path = [seen_at]
    for name, folder in _kept_beside(snapshot).items():
        inside = f"{seen_at}/{_BESIDE}/{name}"
        if (folder / "__init__.py").is_file():
            path.append(inside.rpartition("/")[0])
        else:
            path += [inside, f"{inside}/src"] if (folder / "src").is_dir() else [inside]
    return tuple(path)


def _kept_beside(snapshot: Path) -> dict[str, Path]:
    """The folders beside the tasks folder that a snapshot has: `packages/0/shoplib` is named "0/shoplib"."""
    if not (snapshot / _BESIDE).is_dir():
        return {}
    found = sorted((snapshot / _BESIDE).glob("*/*"), key=lambda folder: int(folder.parent.name))
    return {f"{folder.parent.name}/{folder.name}": folder for folder in found}


def _read_beside(folders: Mapping[str, Path]) -> dict[str, File]:
    """The files of these folders, by their paths from the tasks folder within a snapshot."""
    for folder in folders.values():
        if not folder.is_dir():
            raise TasksFolderError(f"{folder}, which [code] packages names, is no folder any more")
    files = ((name, read(folder).files) for name, folder in folders.items())
    return {f"../{_BESIDE}/{name}/{path}": file for name, found in files for path, file in found.items()}


def forget_unused(into: Path, in_use: set[str]) -> None:
    """Delete all snapshots but those `in_use`, and drafts that a crash left."""
    with os.scandir(into) as entries:
        unused = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name not in in_use]
    for path in unused:
        shutil.rmtree(path, ignore_errors=True)


def _hash(files: Mapping[str, File]) -> str:
    digest = hashlib.sha256()
    for path, file in files.items():
        name = os.fsencode(path)
        digest.update(b"%d:%b:%d:%d:" % (len(name), name, file.is_executable, len(file.content)))
        digest.update(file.content)
    return digest.hexdigest()[:32]


def _write(files: Mapping[str, File], snapshot: Snapshot) -> None:
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


def _write_file(path: Path, file: File) -> None:
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
