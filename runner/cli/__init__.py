"""The `isolane` command: arguments in, calls out, answers shown. No logic of the runner lives here.

Commands that look at runs, queues and tasks talk HTTP to a server, also to the one of this very folder. `serve`, `run`,
`store` and `config check` work here and now. A command's module is loaded only when it is called, so that
`isolane --help` and shell completion answer at once.
"""

from __future__ import annotations

import click

from runner.cli.display.stdout import checked_stdout
from runner.cli.lazy import LazyGroup
from runner.cli.server_address import ServerAddress
from runner.domain import logformat

_COMMANDS = {
    "init": ("runner.cli.commands.init", "Start a project in a folder: config, a first task, its test."),
    "serve": ("runner.cli.commands.serve", "Serve this project's tasks until Ctrl-C."),
    "run": ("runner.cli.commands.run", "Run one task in the sandbox, here and now, without a server."),
    "schedule": ("runner.cli.commands.schedule", "Schedule a run of a task."),
    "runs": ("runner.cli.commands.runs", "Look at runs, wait for them, end them."),
    "queues": ("runner.cli.commands.queues", "Look at queues, pause and empty them."),
    "nodes": ("runner.cli.commands.nodes", "Look at the nodes, empty one."),
    "tasks": ("runner.cli.commands.tasks", "Look at tasks, write a new one."),
    "store": ("runner.cli.commands.store", "Bring the store up to date, check it, move it."),
    "doctor": ("runner.cli.commands.doctor", "Say which walls of the sandbox stand on this host."),
    "config": ("runner.cli.commands.config", "Check the config file, print all its keys."),
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", metavar="URL", help="Server to talk to.  [else ISOLANE_URL, else this folder's]")
@click.option("--token", metavar="TOKEN", help="Token for it.  [else ISOLANE_TOKEN, else this folder's]")
@click.option(
    "--patience",
    metavar="DURATION",
    default="10s",
    show_default=True,
    help="How long to wait for a server that is not there; 0 for not at all.",
)
@click.version_option(package_name="isolane", message="isolane %(version)s")
@click.pass_context
def isolane(context: click.Context, url: str | None, token: str | None, patience: str) -> None:
    """Durable tasks, one at a time per queue, each run in a sandbox of its own.

    Start with `isolane init`, then `isolane serve`; in another terminal `isolane schedule hello`.
    """
    context.obj = ServerAddress(url=url, token=token, patience=patience)


def main() -> None:
    """The entry point of the `isolane` command."""
    logformat.set_up()
    with checked_stdout():
        isolane(prog_name="isolane")
