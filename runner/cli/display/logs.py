"""How a run's log looks: the time, what wrote the line, the line; with a plus where it goes on with the one before.

Nothing in it reaches the terminal as a command.
"""

from __future__ import annotations

from typing import Any

from runner.cli.display.output import Styled, say
from runner.domain.escaping import escaped

_COLOURS = {
    "DEBUG": "bright_black",
    "INFO": "blue",
    "WARNING": "yellow",
    "ERROR": "red",
    "CRITICAL": "red",
    "stderr": "magenta",
    "system": "yellow",
}


class LogPrinter:
    """Prints log documents as they come; a line of its own tells where another attempt begins."""

    def __init__(self, *, stderr: bool = False) -> None:
        self._stderr = stderr
        self._attempts: dict[str, int] = {}

    def print(self, line: dict[str, Any], task: str = "") -> None:
        """Print one line; `task` stands before those of another run than the one that was asked for."""
        prefix = f"{escaped(task)}: " if task else ""
        if line["attempt"] != self._attempts.setdefault(task, 1):
            self._attempts[task] = line["attempt"]
            say(f"--- {prefix}attempt {line['attempt']} ---", err=self._stderr)
        label = line["level"] or line["stream"]
        shown = f"{label} +" if line["continuation"] else label
        say(
            Styled(line["at"][11:23], dim=True),
            " ",
            Styled(f"{escaped(shown):8}", _COLOURS.get(label)),
            f" {prefix}{escaped(line['text'])}",
            err=self._stderr,
        )
