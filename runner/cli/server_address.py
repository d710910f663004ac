"""Which server the command line talks to: what was given, else the environment, else the one of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.sdk.client import Client

Page = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """What was said of the server on the command line."""

    url: str | None
    token: str | None
    patience: str

    def connect(self) -> Client:
        """A client of the server; nothing is sent yet."""
        # Loaded when it is needed: what it takes to speak HTTP would double the time of `isolane --help`.
        from runner.cli.waiting_client import WaitingClient  # noqa: PLC0415

        return WaitingClient(self.url, self.token, patience=self.patience)


def fetch(list_: Callable[..., Page], cursor: str | None, *, whole: bool, **query: Any) -> Page:
    """One page of a list, or with `whole` all from there on, as one page."""
    page = list_(cursor=cursor, **query)
    while whole and page["next_cursor"]:
        following = list_(cursor=page["next_cursor"], **query)
        page = {**following, "items": page["items"] + following["items"]}
    return page
