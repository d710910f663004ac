"""The client of the command line: whoever sits before it is told why nothing happens yet."""

from __future__ import annotations

from runner.cli.display.output import say
from runner.sdk.client import Client
from runner.sdk.locate import locate
from runner.sdk.patience import Lost
from runner.units import describe_seconds


class WaitingClient(Client):
    """As `Client`, for people: it finds the server under a test as well, and says once that it waits for one."""

    _locate = staticmethod(locate)
    _has_told = False

    def _pause(self, pause_s: float, lost: Lost) -> None:
        if pause_s and not self._has_told:
            self._has_told = True
            say(f"{lost.error}; trying again for up to {describe_seconds(self._patience_s)} (--patience)", err=True)
        super()._pause(pause_s, lost)
