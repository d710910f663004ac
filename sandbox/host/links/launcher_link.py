"""The runner's link to its launcher: starts the process, sends requests, hands on what comes back."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Sequence

from sandbox.errors import LauncherError
from sandbox.host.links import helper_process
from sandbox.host.links.line import Line
from sandbox.kernel import rlimits
from sandbox.protocol.messages import Message

_START_PATIENCE_S = 30.0


class LauncherLink:
    """A running launcher.

    Args:
        on_message: gets each message with its descriptors, which it owns from then on. If it raises `LauncherError`,
            because no launcher sends such a message, the launcher is killed.
        on_death: called when the launcher is gone or was killed.
    """

    def __init__(self, on_message: Callable[[Message, list[int]], None], on_death: Callable[[], None]) -> None:
        self._on_death = on_death
        self._line = Line(on_message, self._end)
        self.send = self._line.send
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, lock: int, *, packages: Sequence[str], preload: Sequence[str]) -> None:
        """Start the process and wait until it is ready. Raises `LauncherError`."""
        try:
            self._process = helper_process.start("sandbox.inner.launcher", self._line.far_end.fileno())
        except OSError as error:
            raise LauncherError(f"the launcher cannot be started: {error}") from error
        finally:
            self._line.far_end.close()
        hello = {
            "path": _search_path(),
            "prefixes": {"prefix": sys.prefix, "exec_prefix": sys.exec_prefix},
            "packages": ["sandbox", *packages],
            "preload": list(preload),
            "files": rlimits.raise_files(),
        }
        try:
            async with asyncio.timeout(_START_PATIENCE_S):
                await self.send(hello, [lock])
                answer = await self._line.first_message()
        except TimeoutError:
            raise LauncherError("the launcher did not answer") from None
        if answer != {"hello": True}:
            raise LauncherError(f"the launcher could not start: {(answer or {}).get('failed', 'it died')}")
        self._line.listen()

    def _end(self) -> None:
        """It is gone, or sent what no launcher sends. Everything that it launched ends with it."""
        assert self._process is not None, "it was heard"
        self._process.kill()
        self._on_death()

    async def close(self) -> None:
        """Close the socket, on which the launcher kills all that it launched, and wait for its end."""
        self._line.close()
        if self._process is not None:
            await helper_process.until_ended(self._process)


def _search_path() -> list[str]:
    """`sys.path` with absolute entries: the launcher may have another working directory."""
    return [os.path.abspath(entry) for entry in sys.path]
