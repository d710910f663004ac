"""How the runner's own log looks: a record is one line, and what follows it is indented, so that nobody forges another.

Names of files, errors of modules and what a task says stand in records; all of it is escaped here, at one place.
"""

from __future__ import annotations

import logging
import sys
import textwrap
import traceback
from types import TracebackType

from runner.domain.escaping import escaped, escaped_lines


class Formatter(logging.Formatter):
    """Formats records so that whoever reads them, a terminal too, takes nothing in them as a command or a line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The record without its exception, on one line."""
        return escaped(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802
        """A traceback, below its record."""
        return textwrap.indent(escaped_lines(super().formatException(ei)), "    ")  # type: ignore[arg-type]

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """Where the record was made, below it."""
        return textwrap.indent(escaped_lines(super().formatStack(stack_info)), "    ")


def set_up() -> None:
    """Have what is logged without further set-up, and exceptions that nobody catches, shown escaped on stderr."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Formatter())
    sys.excepthook = _show_exception


def set_up_log() -> None:
    """Log to stderr, from INFO on, with times."""
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _show_exception(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    sys.stderr.write(escaped_lines("".join(traceback.format_exception(kind, error, where))))
