"""`isolane run`: one run in the sandbox, here and now, with a throwaway store and no server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from runner.cli import options
from runner.cli.display.logs import LogPrinter
from runner.cli.exit_codes import exit_code, print_ending
from runner.config import load
from runner.domain.documents import log_document
from runner.domain.run import LogLine
from runner.run_once import run_once
from sandbox.loops import new_event_loop


@click.command("run")
@click.argument("task")
@options.parameters
@options.config_file
def command(task: str, parameters: dict[str, Any], config_path: Path | None) -> None:
    """Run TASK here and now in the sandbox, and what it schedules; nothing is kept.

    Its log goes to stderr, its result as JSON to stdout. Exits with 0 on success, 1 if it raised, 3 without a response.
    """
    printer = LogPrinter(stderr=True)

    def on_log(run: dict[str, Any], line: LogLine) -> None:
        printer.print(log_document(line), task=run["task"] if run["parent"] else "")

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        run = runner.run(run_once(load(config_path), task, parameters, on_log))
    print_ending(run)
    raise SystemExit(exit_code(run))
