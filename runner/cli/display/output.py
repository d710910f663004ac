"""The only way for text to stdout and stderr; `render` has the tables. Nothing of it reaches a terminal as a command.

Colour is for terminals only; NO_COLOR turns it off there too.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

import click

from runner.domain.escaping import escaped_lines


def has_colour(*, stderr: bool = False) -> bool:
    """Whether plain output may be coloured."""
    return (sys.stderr if stderr else sys.stdout).isatty() and not os.environ.get("NO_COLOR")


class Styled(NamedTuple):
    """A piece of a line in a colour of its own."""

    text: str
    colour: str | None = None
    dim: bool = False


def say(*pieces: str | Styled, err: bool = False) -> None:
    """Print lines to stdout or stderr. The only way for text to get there, but for tables and JSON."""
    coloured = has_colour(stderr=err)
    shown = ""
    for piece in pieces:
        text = escaped_lines(piece.text if isinstance(piece, Styled) else piece)
        shown += click.style(text, fg=piece.colour, dim=piece.dim) if coloured and isinstance(piece, Styled) else text
    click.echo(shown, err=err)


def say_error(text: str) -> None:
    """Print what went wrong to stderr; further lines of it are indented, so that they are taken for nothing else."""
    say("error: " + text.replace("\n", "\n  "), err=True)
