"""Where the server is, and the token for it: as told, by the environment, or by the project's own folder.

A server that serves a project writes its address and a token into the project's `.isolane/`; whoever works in that
folder needs to tell nothing. A token found there is never sent to an address that came from elsewhere.

A test works in that folder too. What it schedules must not run on the server that happens to serve there, perhaps with
the user's real data: under a test nothing is looked for in the folder.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from runner.errors import InvalidOptionError, RunnerError, TransportError

#: Packages that call tests, as they are told to people.
_TESTERS = {"_pytest": "pytest", "unittest": "unittest", "doctest": "doctest"}


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


def locate_for_code(url: str | None, token: str | None) -> tuple[str, str | None]:
    """The same for a program, which under a test has to be told.

    Raises:
        RunnerError: this is a test, and no address is told.
    """
    if not url and not os.environ.get("ISOLANE_URL") and (tested_by := _tested_by()):
        raise RunnerError(
            f"this runs under {tested_by}, and what a test schedules would really run on the server of this folder; "
            "set ISOLANE_URL (and ISOLANE_TOKEN) to a server for tests, use runner.Client(url, token), or put something"
            " else in the place of the call in the test"
        )
    return locate(url, token)


def _tested_by() -> str | None:
    """What runs the tests that this is called from, `None` outside of tests."""
    # pytest tells the processes that a test starts too; before version 8.2 not while it collects the tests.
    if "PYTEST_CURRENT_TEST" in os.environ or "PYTEST_VERSION" in os.environ:
        return "pytest"
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - as `inspect` does it, which takes long to load
    while frame is not None:
        spec = frame.f_globals.get("__spec__")  # a module that was started as the program is named only there
        package = str(getattr(spec, "name", None) or frame.f_globals.get("__name__")).partition(".")[0]
        if package in _TESTERS:
            return _TESTERS[package]
        frame = frame.f_back
    return None


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
