"""`isolane runs`: look at runs, wait for them, end them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click

from runner.cli import options
from runner.cli.endings import NO_RESPONSE, exit_code
from runner.cli.logs import LogPrinter
from runner.cli.output import say, say_error
from runner.cli.render import (
    ago,
    id_column,
    name_column,
    print_json,
    print_json_lines,
    print_table,
    short_column,
    status_text,
    took,
)
from runner.cli.run_page import print_run
from runner.cli.target import Target, fetch
from runner.cli.waiting import wait_for
from runner.domain.escaping import escaped
from runner.domain.status import FINAL, Status
from runner.errors import RunnerError, TransportError, UnauthorizedError, WaitTimeoutError
from runner.units import seconds

_one = click.argument("run", metavar="ID")
_several = click.argument("runs", metavar="ID...", nargs=-1, required=True)


@click.group("runs")
def command() -> None:
    """Look at runs, wait for them, end them."""


@command.command("list")
@click.option("--status", "statuses", multiple=True, type=click.Choice(list(map(str, Status))), help="May repeat.")
@click.option("--task", metavar="NAME")
@click.option("--queue", metavar="NAME")
@click.option("--tag", metavar="TAG")
@click.option("--limit", type=click.IntRange(1, 1000), help="How many; 50 unless said.")
@click.option("--cursor", metavar="CURSOR", help="Go on where a page ended (its next_cursor).")
@click.option("--all", "whole", is_flag=True, help="All pages.")
@click.option("--count", is_flag=True, help="Only how many there are in each status.")
@options.as_json
@click.pass_obj
def list_(
    target: Target, /, *, statuses: tuple[str, ...], whole: bool, count: bool, as_json: bool, **plain: Any
) -> None:
    """List runs, newest first."""
    server = target.connect()
    if count:
        if statuses or whole or any(plain.values()):
            raise click.UsageError("--count counts all runs; it goes with no filter")
        _print_counts(server.count(), as_json=as_json)
        return
    page = fetch(server.runs, status=statuses, whole=whole, **plain)
    if as_json:
        print_json(page)
        return
    _print_runs(page["items"])
    if page["next_cursor"]:
        say("there are more: pass --limit, --all or a filter", err=True)


def _print_counts(counts: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json(counts)
    else:
        print_table([short_column("status"), short_column("runs")], [(name, str(n)) for name, n in counts.items()])


def _print_runs(runs: list[dict[str, Any]]) -> None:
    if not runs:
        say("no runs", err=True)
        return
    # The column is worth its room only where there are queues.
    queued = any(run["queue"] for run in runs)
    columns = [id_column("id"), short_column("status"), name_column("task"), short_column("when")]
    columns += [short_column("took"), short_column("attempts")]
    rows: list[list[Any]] = [
        [
            run["id"],
            status_text(run["status"]),
            run["task"],
            _when(run),
            took(run["started_at"], run["finished_at"]),
            str(run["attempt_count"]),
        ]
        for run in runs
    ]
    if queued:
        columns.insert(3, name_column("queue"))
        for row, run in zip(rows, runs, strict=True):
            row.insert(3, run["queue"] or "")
    print_table(columns, rows)


def _when(run: dict[str, Any]) -> str:
    """When the newest thing happened to it, or will: it ended, it began, it is due."""
    due = run["next_attempt_at"] or run["due_at"]
    if run["finished_at"] is not None:
        return f"ended {ago(run['finished_at'])}"
    return f"began {ago(run['started_at'])}" if run["status"] == "running" else f"due {ago(due)}"


@command.command("show")
@_one
@options.as_json
@click.pass_obj
def show(target: Target, run: str, *, as_json: bool) -> None:
    """Show one run with its attempts, and why it waits or how it ended."""
    document = target.connect().show(run)
    if as_json:
        print_json(document)
    else:
        print_run(document)


@command.command("wait")
@_several
@click.option("--timeout", metavar="DURATION", help='Longest time to wait for all of them, such as "5m".')
@options.as_json
@click.pass_obj
def wait(target: Target, runs: tuple[str, ...], timeout: str | None, *, as_json: bool) -> None:
    """Wait until runs have ended.

    Exits with 0 if all succeeded, 3 if one ended without a response or not in time, else 1.
    """
    server = target.connect()
    deadline = None if timeout is None else time.monotonic() + seconds(timeout, "--timeout")
    codes, documents = set(), []
    for run in runs:
        try:
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
def logs(target: Target, run: str, *, follow: bool, as_json: bool) -> None:
    """Print what a run's attempts wrote and logged."""
    lines = target.connect().logs(run, follow=follow)
    if as_json:
        print_json_lines(lines)
        return
    printer = LogPrinter()
    for line in lines:
        printer.print(line)


@command.command("cancel")
@_several
@click.pass_obj
def cancel(target: Target, runs: tuple[str, ...]) -> None:
    """Cancel runs that wait or run.

    Those that wait are cancelled at once, a running one as soon as its attempt is dead.
    """
    server = target.connect()

    def cancel_one(run: str) -> None:
        document = server.cancel(run)
        asked = document["cancel_requested_at"] is not None and document["status"] not in FINAL
        say(f"{run} {'is being cancelled' if asked else document['status']}")

    _each(runs, cancel_one)


@command.command("retry")
@_several
@click.option("--force", is_flag=True, help="Repeat also what succeeded.")
@click.pass_obj
def retry(target: Target, runs: tuple[str, ...], *, force: bool) -> None:
    """Run the same again: makes new runs and prints their ids."""
    server = target.connect()
    _each(runs, lambda run: say(server.retry(run, force=force)["id"]))


@command.command("delete")
@_several
@click.pass_obj
def delete(target: Target, runs: tuple[str, ...]) -> None:
    """Delete runs that are not running, with their logs."""
    server = target.connect()

    def delete_one(run: str) -> None:
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
        except RunnerError as error:
            say_error(f"{escaped(run)}: {error}")
            refused += 1
    if refused:
        raise SystemExit(1)
