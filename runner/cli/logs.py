"""How a run's log looks: the time, what wrote the line, the line. Nothing in it reaches the terminal as a command."""

from __future__ import annotations

from typing import Any

import click

from runner.cli.render import clean, has_colour

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
        self._coloured = has_colour(stderr=stderr)
        self._attempts: dict[str, int] = {}

    def print(self, line: dict[str, Any], task: str = "") -> None:
        """Print one line; `task` stands before those of another run than the one that was asked for."""
        prefix = f"{clean(task)}: " if task else ""
        if line["attempt"] != self._attempts.setdefault(task, 1):
            self._attempts[task] = line["attempt"]
            click.echo(f"--- {prefix}attempt {line['attempt']} ---", err=self._stderr)
        label = line["level"] or line["stream"]
        shown = self._style(f"{clean(label):8}", fg=_COLOURS.get(label))
        clock = self._style(line["at"][11:23], dim=True)
        click.echo(f"{clock} {shown} {prefix}{clean(line['text'])}", err=self._stderr)

    def _style(self, text: str, **style: Any) -> str:
        return click.style(text, **style) if self._coloured else text
