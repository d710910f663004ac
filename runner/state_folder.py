"""`.isolane/`, a node's own folder in the project: mode 0700, and nobody else may exchange what lies in it.

isolane.db              the store (where the config says so)
attempts.lock           held by the launcher and by every attempt: proof that they are dead
node                    who this node is, where it shares its store with others
code/                   snapshots of the tasks folder by hash
server.json, token      where the local command line finds the server, and its right to call it
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from runner.errors import StoreUnavailableError


def make_state_folder(project: Path) -> Path:
    """The folder of this project, made where it is not there yet.

    Raises:
        StoreUnavailableError: it cannot be made, or others could exchange what lies in it.
    """
    state = project / ".isolane"
    try:
        state.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreUnavailableError(f"cannot make {state}: {error.strerror}; isolane keeps its state there") from error
    status, me = state.stat(), os.geteuid()
    if status.st_uid != me:
        raise StoreUnavailableError(
            f"{state} belongs to another user (uid {status.st_uid}), who could exchange what lies in it: start "
            f"isolane as that user, or give it to this one with chown -R {me} {state}"
        )
    if status.st_mode & 0o022:
        raise StoreUnavailableError(f"others may write {state}, and exchange what lies in it: chmod go-w {state}")
    return state


def local_token(state: Path) -> str:
    """The token with which the local command line calls; made once, readable by this user only."""
    path = state / "token"
    try:
        token = path.read_text().strip()
    except FileNotFoundError:
        token = ""
    if not token:
        token = f"isolane_{secrets.token_urlsafe(32)}"
        _write_private(path, token + "\n")
    return token


def tell_address(state: Path, url: str) -> None:
    """Have the local command line find the server there."""
    _write_private(state / "server.json", json.dumps({"url": url, "pid": os.getpid()}) + "\n")


def forget_address(state: Path) -> None:
    """Have it find no server any more."""
    (state / "server.json").unlink(missing_ok=True)


def _write_private(path: Path, text: str) -> None:
    """Write a 0600 file, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.rename(path)
