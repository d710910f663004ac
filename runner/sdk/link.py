"""The way out of a running task: a slot that the guest fills, and through which `scheduleTask` and handles call.

Outside a task the slot is empty, and calls go over HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Link(Protocol):
    """What a running task has of the runner."""

    #: The most that the parameters of one run may take as JSON.
    parameters_bytes: int

    def call(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Ask the runner, and wait for its answer.

        Raises:
            RunnerError: what the runner answered, or `TransportError` where it is gone.
        """

    async def acall(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """As `call`, without stopping the event loop."""

    def post(self, frame: Mapping[str, Any]) -> None:
        """Tell the runner something that needs no answer.

        Raises:
            RunnerError: it could not be sent.
        """


_current: Link | None = None


def current() -> Link | None:
    """The link of the task that runs in this process, `None` outside one."""
    return _current


def attach(link: Link | None) -> None:
    """Make this the link of this process."""
    global _current  # noqa: PLW0603 - one process is one attempt
    _current = link
