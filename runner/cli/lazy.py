"""A group of commands whose modules are loaded when they are called, and which tells errors in one line.

Each module calls its command `command`. What the runner raises on purpose (`RunnerError`) says what to do about it, so
it is shown without a traceback; anything else is a bug and keeps its own.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping
from typing import IO, Any

import click

from runner.cli.display.output import say, say_error
from runner.errors import RunnerError


class Failed(click.ClickException):
    """A command that could not do its work: one line, exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 - click's signature
        """Write the line to stderr."""
        say_error(self.format_message())


class _Refused(Failed):
    """What click says of a call that it cannot make sense of; shown as all else is."""

    exit_code = click.UsageError.exit_code

    def __init__(self, error: click.UsageError) -> None:
        super().__init__(error.message)
        self._error = error

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 - click's signature
        """Write usage and fault to stderr."""
        shown = io.StringIO()
        self._error.show(shown)
        say(shown.getvalue().rstrip("\n"), err=True)


class LazyGroup(click.Group):
    """A group that finds a command's module in `commands_at`: its name to (module, one line of help)."""

    def __init__(self, *args: Any, commands_at: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order in which a newcomer meets them."""
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, its module loaded."""
        if cmd_name not in self._commands_at:
            return None
        command: click.Command = importlib.import_module(self._commands_at[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands in the help, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._commands_at.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was called."""
        try:
            return super().invoke(ctx)
        except RunnerError as error:
            raise Failed(str(error)) from error
        except click.UsageError as error:
            raise _Refused(error) from error
