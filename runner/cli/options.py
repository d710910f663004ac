"""Options that several commands share, and what is read from them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from runner import jsonvalue
from runner.domain.options.run_filter import FILTERS
from runner.errors import InvalidValueError

Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print the JSON document that HTTP gives.")
config_file = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="The config file, instead of config/isolane.toml here or in the nearest folder above.",
)


def filters(command: Command) -> Command:
    """The filters of a list of runs."""
    for name, each in reversed(FILTERS.items()):
        choice = click.Choice(each.choices) if each.choices else None
        option = click.option(f"--{name}", type=choice, multiple=bool(each.choices), help=each.help)
        command = option(command)
    return command


class Parameters(click.ParamType[dict[str, Any]]):
    """A JSON object: as text, as `@FILE`, or `-` for standard input."""

    name = "JSON|@FILE|-"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The object; click shows what is wrong with it and where."""
        if isinstance(value, dict):
            return value
        try:
            parameters = jsonvalue.loads(_raw(value), "it")
        except OSError as error:
            self.fail(f"cannot read {value[1:]}: {error.strerror}", param, ctx)
        except InvalidValueError as error:
            self.fail(str(error), param, ctx)
        if not isinstance(parameters, dict):
            self.fail('it must be a JSON object, such as {"name": "Ada"}', param, ctx)
        return parameters


def _raw(value: str) -> str | bytes:
    if value == "-":
        return sys.stdin.buffer.read()
    if value.startswith("@"):
        return Path(value[1:]).read_bytes()
    return value


parameters = click.option(
    "--parameters", "-p", type=Parameters(), default={}, help="A JSON object, a file that holds one, or - for stdin."
)
