"""`isolane serve`: one node and its HTTP server, until it is told to stop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from runner import app
from runner.cli.options import config_file
from runner.config import load_settings


@click.command("serve")
@config_file
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8420, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
def command(config_path: Path, host: str, port: int) -> None:
    """Serve this project's tasks until Ctrl-C or SIGTERM, which let running attempts finish for a while."""
    asyncio.run(app.serve(load_settings(config_path), host, port))
