"""Where the server is, and the token for it: as told, by the environment, or by the project's own folder.

A server that serves a project writes its address and a token into the project's `.isolane/`; whoever works in that
folder needs to tell nothing. A token found there is never sent to an address that came from elsewhere.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from runner.errors import InvalidOptionError, TransportError


def locate(url: str | None = None, token: str | None = None, folder: Path | None = None) -> tuple[str, str | None]:
    """The server's address without a slash at its end, and the token, if there is one.

    Raises:
        TransportError: no address is told or found; says what to do.
        InvalidOptionError: the address is none.
    """
    url = url or os.environ.get("ISOLANE_URL")
    token = token or os.environ.get("ISOLANE_TOKEN")
    if not url:
        project = find_project(folder or Path.cwd())
        url, found = _read(project) if project else (None, None)
        token = token or found
        if not url:
            place = f"in {project}" if project else "for this folder"
            raise TransportError(
                f'no isolane server is known {place}: start one with "isolane serve" in the project\'s folder, '
                "or say where it is with ISOLANE_URL and ISOLANE_TOKEN"
            )
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidOptionError(f'the server\'s address must be such as "http://127.0.0.1:8420": got {url!r:.200}')
    return url.rstrip("/"), token


def find_project(folder: Path) -> Path | None:
    """The nearest folder, this one or above, that is an isolane project."""
    for place in (folder.absolute(), *folder.absolute().parents):
        if (place / "config" / "isolane.toml").is_file() or (place / ".isolane").is_dir():
            return place
    return None


def _read(project: Path) -> tuple[str | None, str | None]:
    state = project / ".isolane"
    try:
        url = json.loads((state / "server.json").read_bytes())["url"]
    except (OSError, ValueError, KeyError, TypeError):
        return None, None  # no server, or one that is about to write it
    try:
        token = (state / "token").read_text().strip() or None
    except OSError:
        token = None  # another user's: the server will say that a token is missing
    return (url, token) if isinstance(url, str) else (None, None)
