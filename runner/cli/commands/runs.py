"""`isolane runs`: look at runs, wait for them, end them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click

from runner.cli import options
from runner.cli.display.logs import LogPrinter
from runner.cli.display.output import say, say_error
from runner.cli.display.render import print_json, print_json_lines
from runner.cli.display.run_page import print_run
from runner.cli.display.run_table import print_counts, print_runs
from runner.cli.exit_codes import NO_RESPONSE, exit_code
from runner.cli.lazy import Failed
from runner.cli.run_ids import run_named
from runner.cli.server_address import ServerAddress, fetch
from runner.cli.waiting import wait_for
from runner.domain.escaping import escaped
from runner.domain.status import FINAL
from runner.errors import RunnerError, TransportError, UnauthorizedError, WaitTimeoutError
from runner.units import seconds

_one = click.argument("run", metavar="ID")
_several = click.argument("runs", metavar="ID...", nargs=-1, required=True)


@click.group("runs")
def command() -> None:
    """Look at runs, wait for them, end them.

    ID is a run's id, a beginning of it that no other of the newest runs has, or @last: the newest run that neither a
    schedule nor a task made.
    """


@command.command("list")
@options.filters
@click.option("--limit", type=click.IntRange(1, 1000), help="How many; 50 unless said.")
@click.option("--cursor", metavar="CURSOR", help="Go on where a page ended (its next_cursor).")
@click.option("--all", "whole", is_flag=True, help="All pages.")
@click.option("--count", is_flag=True, help="Only how many there are in each status.")
@click.option("--wide", is_flag=True, help="With why each does not run, also where lines get longer than the terminal.")
@options.as_json
@click.pass_obj
def list_(
    target: ServerAddress,
    /,
    *,
    whole: bool,
    count: bool,
    wide: bool,
    as_json: bool,
    **plain: Any,
) -> None:
    """List runs, newest first."""
    server = target.connect()
    if count:
        if whole or any(plain.values()):
            raise click.UsageError("--count counts all runs; it goes with no filter")
        print_counts(server.count(), as_json=as_json)
        return
    page = fetch(server.runs, whole=whole, **plain)
    if as_json:
        print_json(page)
        return
    print_runs(page["items"], wide=wide)
    if page["next_cursor"]:
        say("there are more: pass --limit, --all or a filter", err=True)


@command.command("show")
@_one
@options.as_json
@click.pass_obj
def show(target: ServerAddress, run: str, *, as_json: bool) -> None:
    """Show one run with its attempts, and why it waits or how it ended."""
    server = target.connect()
    document = server.show(run_named(server, run))
    if as_json:
        print_json(document)
    else:
        print_run(document)


@command.command("wait")
@_several
@click.option("--timeout", metavar="DURATION", help='Longest time to wait for all of them, such as "5m".')
@options.as_json
@click.pass_obj
def wait(target: ServerAddress, runs: tuple[str, ...], timeout: str | None, *, as_json: bool) -> None:
    """Wait until runs have ended.

    Exits with 0 if all succeeded, 3 if one ended without a response or not in time, else 1.
    """
    server = target.connect()
    deadline = None if timeout is None else time.monotonic() + seconds(timeout, "--timeout")
    codes, documents = set(), []
    for name in runs:
        try:
            run = run_named(server, name)
            document = wait_for(server, run, deadline)
        except WaitTimeoutError as error:
            say_error(str(error))
            codes.add(NO_RESPONSE)
            continue
        codes.add(exit_code(document))
        documents.append(document)
        if not as_json:
            reason = "" if document["status"] == "succeeded" else f": {escaped(document['why'] or '')}"
            say(f"{run} {document['status']}{reason}")
    if as_json:
        print_json({"items": documents, "next_cursor": None})
    raise SystemExit(max(codes))


@command.command("logs")
@_one
@click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document per line, as HTTP gives them.")
@click.pass_obj
def logs(target: ServerAddress, run: str, *, follow: bool, as_json: bool) -> None:
    """Print what a run's attempts wrote and logged."""
    server = target.connect()
    lines = server.logs(run_named(server, run), follow=follow)
    if as_json:
        print_json_lines(lines)
        return
    printer = LogPrinter()
    for line in lines:
        printer.print(line)


@command.command("cancel")
@_several
@click.pass_obj
def cancel(target: ServerAddress, runs: tuple[str, ...]) -> None:
    """Cancel runs that wait or run.

    Those that wait are cancelled at once, a running one as soon as its attempt is dead.
    """
    server = target.connect()

    def cancel_one(name: str) -> None:
        run = run_named(server, name)
        document = server.cancel(run)
        asked = document["cancel_requested_at"] is not None and document["status"] not in FINAL
        say(f"{run} {'is being cancelled' if asked else document['status']}")

    _each(runs, cancel_one)


@command.command("retry")
@_several
@click.option("--force", is_flag=True, help="Repeat also what succeeded.")
@click.pass_obj
def retry(target: ServerAddress, runs: tuple[str, ...], *, force: bool) -> None:
    """Run the same again: makes new runs and prints their ids."""
    server = target.connect()
    _each(runs, lambda name: say(server.retry(run_named(server, name), force=force)["id"]))


@command.command("delete")
@_several
@click.pass_obj
def delete(target: ServerAddress, runs: tuple[str, ...]) -> None:
    """Delete runs that are not running, with their logs."""
    server = target.connect()

    def delete_one(name: str) -> None:
        run = run_named(server, name)
        server.delete(run)
        say(f"{run} deleted")

    _each(runs, delete_one)


def _each(runs: tuple[str, ...], act: Callable[[str], None]) -> None:
    """Act on each run, the later ones also where an earlier one was refused; exit code 1 where one was."""
    refused = 0
    for run in runs:
        try:
            act(run)
        except (TransportError, UnauthorizedError):
            raise
        except (RunnerError, Failed) as error:
            say_error(f"{escaped(run)}: {error}")
            refused += 1
    if refused:
        raise SystemExit(1)
