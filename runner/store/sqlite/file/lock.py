"""One runner at a time on one file: a lock of the operating system, which ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from runner.errors import StoreLockedError, StoreUnavailableError


def backup_command(store: str, copy: str) -> str:
    """What makes a whole copy of a database that is in use."""
    return f"`sqlite3 {store} \"VACUUM INTO '{copy}'\"`"


class FileLock:
    """The lock beside the database `path`, held from `acquire` to `release`."""

    def __init__(self, path: Path) -> None:
        self._store = path
        self._path = path.with_name(f"{path.name}.lock")
        self._descriptor: int | None = None

    def acquire(self, *, to_copy: bool = False) -> None:
        """Take it; `to_copy` says what for, to whom it cannot be given.

        Raises:
            StoreLockedError: another runner, or another store of this process, has it.
            StoreUnavailableError: the folder cannot be made or written.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailableError(
                f"the store {self._store} cannot be written: {error.strerror} ({error.filename}). Give this user the "
                "right to write the file and its folder, or name another path in [runner] store"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            instead = (
                f"copy the file beside it with {backup_command(str(self._store), 'COPY.db')}, which gives a whole copy "
                "without its logs, and use that"
                if to_copy
                else "name another file in [runner] store"
            )
            raise StoreLockedError(f"another runner has the store {self._store} open: stop it, or {instead}") from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it back; the empty file stays, since removing it would race with the next one to take it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
