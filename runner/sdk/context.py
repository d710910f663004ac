"""What a task's function gets as its second argument: which run this is, how long it may take, and how far it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runner.errors import InvalidValueError
from runner.sdk import link

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from runner.sdk.secrets import Secrets

_TEXT_CHARS = 1000


class Context:
    """The attempt that is being executed.

    Attributes:
        run: the run's id; also `id`.
        root: the id of the first run of a chain of runs that were retried by hand, each of which has an id of its own:
            the key that makes what is done once by them all count once (`Idempotency-Key: context.root`).
        attempt: its number, from 1.
        fence: grows with every attempt of all runs: a system that keeps the highest it saw can refuse a late writer.
        task: the task's name.
        queue: the queue that this run holds a place of, `None` without one.
        app: the app that the run belongs to.
        tags: the run's labels.
    """

    __slots__ = (
        "_deadline_s",
        "_ends_at",
        "_secrets",
        "app",
        "attempt",
        "fence",
        "queue",
        "root",
        "run",
        "tags",
        "task",
    )

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.run: str = document["run"]
        self.root: str = document["root"]
        self.attempt: int = document["attempt"]
        self.fence: int = document["fence"]
        self.task: str = document["task"]
        self.queue: str | None = document["queue"]
        self.app: str = document["app"]
        self.tags: tuple[str, ...] = tuple(document["tags"])
        self._secrets: dict[str, str] = document.get("secrets", {})
        self._deadline_s: float | None = document["deadline"]
        # Counted from now on by a clock that nobody sets.
        self._ends_at = None if self._deadline_s is None else time.monotonic() + self._deadline_s - time.time()

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run

    @property
    def deadline(self) -> datetime | None:
        """When the attempt's time is over, in UTC; `None` without a time limit."""
        if self._deadline_s is None:
            return None
        from datetime import UTC, datetime  # noqa: PLC0415 - few ask

        return datetime.fromtimestamp(self._deadline_s, UTC)

    def remaining(self) -> float:
        """Seconds until the attempt's time is over, 0 after that; infinite without a time limit."""
        return float("inf") if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())

    @property
    def secrets(self) -> Secrets:
        """The secrets that the task's options name, by name."""
        from runner.sdk.secrets import Secrets  # noqa: PLC0415 - few ask

        return Secrets(self._secrets)

    def progress(self, fraction: float, text: str | None = None) -> None:
        """Show how far the run is: from 0 to 1, and a few words (up to 1000 characters are kept).

        Raises:
            InvalidValueError: not within 0 to 1, or the text is none.
        """
        if not isinstance(fraction, int | float) or isinstance(fraction, bool) or not 0 <= fraction <= 1:
            raise InvalidValueError(f"fraction must be a number from 0 to 1: got {fraction!r:.80}")
        if text is not None and not isinstance(text, str):
            raise InvalidValueError(f"text must be text: got a {type(text).__name__}")
        words = None if text is None else text[:_TEXT_CHARS].encode(errors="backslashreplace").decode()
        here = link.current()
        if here is not None:  # called as a plain function, in a test, there is nobody to tell
            here.post({"type": "progress", "fraction": float(fraction), "text": words})

    def __repr__(self) -> str:
        return f"<Context of run {self.run}, attempt {self.attempt}>"
