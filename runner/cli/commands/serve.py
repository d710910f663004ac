"""`isolane serve`: one node and its HTTP server, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import click

from runner import app
from runner.cli.display.output import say
from runner.cli.display.stdout import OutputError
from runner.cli.options import config_file
from runner.config import load
from sandbox.loops import new_event_loop


@click.command("serve")
@config_file
@click.option("--host", help="Address to listen on, instead of the config's.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port, instead of the config's; 0 takes a free one.")
@click.option("--name", help="What this node is called, instead of the config's name or the machine's.")
def command(config_path: Path | None, host: str | None, port: int | None, name: str | None) -> None:
    """Serve this project's tasks until Ctrl-C or SIGTERM, which let running attempts finish for a while."""
    settings = load(config_path)
    if name is not None:
        settings = settings.with_node_name(name)
    host = settings.runner.host if host is None else host
    port = settings.runner.port if port is None else port
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(app.serve(settings, host, port, _say))


def _say(text: str, /, *, err: bool = False) -> None:
    """Print; a server works also where nobody can be told."""
    with contextlib.suppress(OutputError):
        say(text, err=err)
