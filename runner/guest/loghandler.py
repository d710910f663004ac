"""The handler that sends log records to the runner. Imported only where `logging` is loaded anyway."""

from __future__ import annotations

import logging
from typing import Any

from runner.sdk import link

_MESSAGE_BYTES = 64 << 10
_NAME_CHARS = 200
_LEVELS = ((50, "CRITICAL"), (40, "ERROR"), (30, "WARNING"), (20, "INFO"))


class LinkHandler(logging.Handler):
    """Sends each record as a frame. Whatever fails on that way is the log's loss, never the task's.

    Where a file is imported for attempts to be forked, there is no run yet, and so no log for what it says then.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        here = link.current()
        if here is None:
            return
        try:
            here.post(
                {
                    "type": "log",
                    "level": next((name for number, name in _LEVELS if record.levelno >= number), "DEBUG"),
                    "logger": _writable(record.name)[:_NAME_CHARS],
                    "message": _cut(self._text(record)),
                    "at": int(record.created * 1e6),
                }
            )
        except Exception:
            pass

    def _text(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:
            return f"{record.msg!s} (its arguments do not fit: {type(error).__name__}: {error})"


def attach() -> None:
    """Add the handler to the root logger, whose level becomes INFO, and keep `basicConfig(level=...)` working."""
    root = logging.getLogger()
    handler = LinkHandler()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    configure = logging.basicConfig

    def basicConfig(**options: Any) -> None:  # noqa: N802 - replaces the function of that name
        configure(**options)
        # With a handler in place, logging's own ignores the level that was asked for.
        if root.handlers == [handler] and options.get("level") is not None:
            root.setLevel(options["level"])

    logging.basicConfig = basicConfig


def _cut(text: str) -> str:
    data = str.encode(text, errors="backslashreplace")
    if len(data) <= _MESSAGE_BYTES:
        return data.decode()
    return data[: _MESSAGE_BYTES - 10].decode(errors="ignore") + " ... (cut)"


def _writable(text: str) -> str:
    return str.encode(text, errors="backslashreplace").decode()
