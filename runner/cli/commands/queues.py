"""`isolane queues`: look at queues, pause and empty them."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from runner.cli import options
from runner.cli.display.output import say
from runner.cli.display.render import (
    ago,
    id_column,
    instant,
    name_column,
    print_block,
    print_facts,
    print_json,
    print_table,
    short_column,
)
from runner.cli.server_address import ServerAddress, fetch
from runner.domain.escaping import escaped
from runner.domain.options.queue_rule import QUEUE_KEYS

_name = click.argument("name")


@click.group("queues")
def command() -> None:
    """Look at queues, pause and empty them."""


@command.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), help="How many; 100 unless said.")
@click.option("--cursor", metavar="CURSOR", help="Go on where a page ended (its next_cursor).")
@click.option("--all", "whole", is_flag=True, help="All pages.")
@options.as_json
@click.pass_obj
def list_(target: ServerAddress, *, limit: int | None, cursor: str | None, whole: bool, as_json: bool) -> None:
    """List the queues that hold, wait or are paused."""
    page = fetch(target.connect().queues, cursor, limit=limit, whole=whole)
    if as_json:
        print_json(page)
        return
    if not page["items"]:
        say("no queue holds, waits or is paused", err=True)
        return
    counts = [short_column(name) for name in ("waiting", "later", "held")]
    print_table(
        [name_column("queue"), short_column("state"), *counts, short_column("held since")],
        [
            (
                queue["name"],
                _state(queue),
                str(queue["waiting"]),
                str(queue["scheduled"]),
                f"{len(queue['holders'])}/{queue['concurrency']}",
                ago(min((holder["since"] for holder in queue["holders"]), default=None)),
            )
            for queue in page["items"]
        ],
    )
    if page["next_cursor"]:
        say("there are more: pass --limit or --all", err=True)


def _state(queue: dict[str, Any]) -> Text:
    if queue["paused_at"] is not None:
        return Text("paused", style="yellow")
    if len(queue["holders"]) >= queue["concurrency"]:
        return Text("held", style="cyan")
    return Text("open", style="green")


@command.command("show")
@_name
@options.as_json
@click.pass_obj
def show(target: ServerAddress, name: str, *, as_json: bool) -> None:
    """Show one queue and who holds it."""
    queue = target.connect().queue(name)
    if as_json:
        print_json(queue)
        return
    print_facts(
        [
            ("queue", queue["name"]),
            ("state", _state(queue)),
            ("paused", instant(queue["paused_at"])),
            *((key, queue[key] and str(queue[key])) for key in QUEUE_KEYS),
            ("opens", instant(queue["opens_at"])),
            ("waiting", str(queue["waiting"])),
            ("later", str(queue["scheduled"])),
        ]
    )
    if not queue["holders"] and not queue["waiting"] and not queue["scheduled"] and queue["paused_at"] is None:
        say("nothing holds it or waits in it; any name is a queue, also one that was never used", err=True)
    if queue["holders"]:
        print_block("held by", "")
        print_table(
            [id_column("run"), name_column("task"), short_column("since")],
            [(holder["run"], holder["task"], ago(holder["since"])) for holder in queue["holders"]],
        )


@command.command("pause")
@_name
@click.pass_obj
def pause(target: ServerAddress, name: str) -> None:
    """Start no more runs of a queue until it is resumed.

    Running ones go on.
    """
    target.connect().pause(name)
    say(f"{escaped(name)} is paused")


@command.command("resume")
@_name
@click.pass_obj
def resume(target: ServerAddress, name: str) -> None:
    """Take back a pause."""
    target.connect().resume(name)
    say(f"{escaped(name)} is open")


@command.command("purge")
@_name
@click.pass_obj
def purge(target: ServerAddress, name: str) -> None:
    """Cancel every run that waits in a queue; running ones go on."""
    cancelled = target.connect().purge(name)
    say(f"{cancelled} runs of {escaped(name)} are cancelled")


@command.command("release")
@_name
@click.pass_obj
def release(target: ServerAddress, name: str) -> None:
    """Let a strict queue pass the run that waits for a retry.

    The one that is between two attempts gives its place to the next.
    """
    released = target.connect().release(name)
    say(f"{released} places of {escaped(name)} are free again")
