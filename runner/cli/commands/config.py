"""`isolane config`: what stands in the config file."""

from __future__ import annotations

from pathlib import Path

import click

from runner.cli.display.output import say
from runner.cli.options import config_file
from runner.cli.templates import template
from runner.config import load


@click.group("config")
def command() -> None:
    """Check the config file, print all its keys."""


@command.command("check")
@config_file
def check(config_path: Path | None) -> None:
    """Say whether the config file is right, without starting anything."""
    settings = load(config_path)
    settings.secrets.check()
    say(f"{settings.file} is right")


@command.command("keys")
def keys() -> None:
    """Print a config file with every key, what it means and its default."""
    say(template("keys.toml").rstrip("\n"))
