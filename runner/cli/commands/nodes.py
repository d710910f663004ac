"""`isolane nodes`: look at the nodes, empty one."""

from __future__ import annotations

import click
from rich.text import Text

from runner.cli import options
from runner.cli.display.output import say
from runner.cli.display.render import ago, name_column, print_json, print_table, short_column, size
from runner.cli.server_address import ServerAddress
from runner.domain.escaping import escaped

_STYLES = {"up": "green", "draining": "yellow", "dead": "red"}


@click.group("nodes")
def command() -> None:
    """Look at the nodes, empty one."""


@command.command("list")
@options.as_json
@click.pass_obj
def list_(target: ServerAddress, *, as_json: bool) -> None:
    """List the nodes that share the store."""
    page = target.connect().nodes()
    if as_json:
        print_json(page)
        return
    columns = [short_column(name) for name in ("state", "running", "memory", "heartbeat", "started")]
    print_table(
        [name_column("node"), *columns, name_column("sandbox"), name_column("version"), name_column("id")],
        [
            (
                node["name"],
                Text(node["state"], style=_STYLES.get(node["state"], "")),
                f"{node['running']}/{node['slots']}",
                size(node["memory_bytes"]),
                f"{node['last_seen_s_ago']:.0f}s ago",
                ago(node["started_at"]),
                node["sandbox"].partition(":")[0],
                node["version"],
                node["id"],
            )
            for node in page["items"]
        ],
    )


@command.command("drain")
@click.argument("name", metavar="NODE")
@click.pass_obj
def drain(target: ServerAddress, name: str) -> None:
    """Have a node start nothing more; what runs there goes on.

    NODE is its name or id, or a beginning that no other node has. It goes on after `nodes undrain`, or when it is
    started again.
    """
    asked = target.connect().drain(name)
    say(f"{escaped(name)} starts nothing more" if asked == 1 else f"{asked} nodes {escaped(name)} start nothing more")


@command.command("undrain")
@click.argument("name", metavar="NODE")
@click.pass_obj
def undrain(target: ServerAddress, name: str) -> None:
    """Have a node that was drained start attempts again."""
    asked = target.connect().undrain(name)
    say(f"{escaped(name)} starts again" if asked == 1 else f"{asked} nodes {escaped(name)} start again")
