"""Where the server is, and the token for it: as told, by the environment, or by the project's own folder.

A server that serves a project writes its address and a token into the project's `.isolane/`; whoever works in that
folder needs to tell nothing. A token found there is never sent to an address that came from elsewhere.

A client finds it at its first call and not when it is made, and anew after a call that did not reach it: the server may
be started later, and again, on another port.

A test works in that folder too. What it schedules must not run on the server that happens to serve there, perhaps with
the user's real data: under a test nothing is looked for in the folder.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from runner.errors import InvalidOptionError, RunnerError, TransportError
from runner.sdk.patience import Lost

#: Packages that call tests, as they are told to people.
_TESTERS = {"_pytest": "pytest", "unittest": "unittest", "doctest": "doctest"}


Address = tuple[str, str | None]


class Whereabouts:
    """Where one client finds its server. Nothing is looked up before it is asked for."""

    def __init__(
        self, url: str | None, token: str | None, find: Callable[[str | None, str | None, Path], Address]
    ) -> None:
        """`find` is `locate` or `locate_for_code`.

        Raises:
            InvalidOptionError: the address that is told is none.
        """
        self._url, self._token, self._find = url and _checked(url), token, find
        self._folder = Path.cwd()
        self._found: Address | None = None

    def find(self) -> Address:
        """The address and the token; raises as `locate` does."""
        if self._found is None:
            self._found = self._find(self._url, self._token, self._folder)
        return self._found

    def forget(self) -> None:
        """Look anew when it is asked for next."""
        self._found = None


def locate(url: str | None, token: str | None, folder: Path) -> Address:
    """The server's address without a slash at its end, and the token, if there is one.

    Raises:
        Lost: no server serves the project that this folder belongs to; one may be started.
        TransportError: no address is told, and this folder belongs to no project; says what to do.
        InvalidOptionError: the address is none.
    """
    url = url or os.environ.get("ISOLANE_URL")
    token = token or os.environ.get("ISOLANE_TOKEN")
    if not url:
        project = find_project(folder)
        url, found = _read(project) if project else (None, None)
        token = token or found
        if not url:
            place = f"in {project}" if project else "for this folder"
            error = TransportError(
                f'no isolane server is known {place}: start one with "isolane serve" in the project\'s folder, '
                "or say where it is with ISOLANE_URL and ISOLANE_TOKEN"
            )
            raise Lost(error, may_have_acted=False) if project else error
    return _checked(url), token


def locate_for_code(url: str | None, token: str | None, folder: Path) -> Address:
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
    return locate(url, token, folder)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidOptionError(f'the server\'s address must be such as "http://127.0.0.1:8420": got {url!r:.200}')
    return url.rstrip("/")


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
