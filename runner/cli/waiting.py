"""Waiting for a run through the server: asks in turns, because no single request may wait for ever."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

from rich.status import Status as Spinner
from rich.text import Text

from runner.cli.display.render import console
from runner.domain.escaping import escaped
from runner.domain.status import FINAL
from runner.errors import WaitTimeoutError
from runner.sdk.client import Client

#: How long one request waits; on a terminal the line that tells the progress is as old as this.
_TURN_S = 2.0


def wait_for(server: Client, run: str, deadline: float | None = None) -> dict[str, Any]:
    """The run once it is final; on a terminal it is told meanwhile why it waits or how far it is.

    `deadline` is an instant of `time.monotonic`, `None` to wait for ever.

    Raises:
        WaitTimeoutError: the time is over; the run goes on.
    """
    spinner = Spinner("", console=console(stderr=True)) if sys.stderr.isatty() else None
    with spinner or nullcontext():
        while True:
            left_s = _TURN_S if deadline is None else min(_TURN_S, deadline - time.monotonic())
            document = server.wait(run, timedelta(seconds=max(left_s, 0.0)))
            if document["status"] in FINAL:
                return document
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeoutError(f"run {run} is {document['status']} after the time to wait; it goes on")
            if spinner is not None:
                spinner.update(_told(document))


def _told(document: dict[str, Any]) -> Text:
    progress = document["progress"] or {}
    parts = [document["task"], document["status"], document["why"]]
    if progress:
        parts.append(f"{100 * (progress.get('fraction') or 0):.0f}%")
        parts.append(progress.get("text"))
    return Text(escaped("  ".join(str(part) for part in parts if part)))
