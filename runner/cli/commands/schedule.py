"""`isolane schedule`: store a run with the server; with `--wait` also see it through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from runner.cli import options
from runner.cli.display.output import say
from runner.cli.display.render import print_json
from runner.cli.exit_codes import exit_code, print_ending
from runner.cli.server_address import ServerAddress
from runner.cli.waiting import wait_for

if TYPE_CHECKING:
    from runner.domain.options.table import CallKeywords


@click.command("schedule")
@click.argument("task")
@options.parameters
@click.option("--at", metavar="TIME", help='Not before, such as "2026-11-20T21:00:00Z".')
@click.option("--after", metavar="DURATION", help='Not before so long from now: "90s", or milliseconds.')
@click.option("--queue", metavar="NAME", help="Queue to wait in; its runs never overlap.")
@click.option("--priority", type=int, help="Higher goes first within a queue.")
@click.option("--idempotency-key", metavar="KEY", help="Scheduling again with the same key gives the same run.")
@click.option("--expires", metavar="DURATION", help="Give up unless started so soon after it is due.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A word to find it by; may repeat.")
@click.option("--timeout", metavar="DURATION", help='Longest time of one attempt; "none" for no limit.')
@click.option("--retry-attempts", type=int, metavar="N", help="How many attempts it gets in all.")
@click.option("--wait", is_flag=True, help="Wait for the end; print the result, exit 1 on an error, 3 on no response.")
@options.as_json
@click.pass_obj
def command(
    target: ServerAddress, /, task: str, parameters: dict[str, Any], *, wait: bool, as_json: bool, **given: Any
) -> None:
    """Schedule a run of TASK and print its id. When this returns, the run is stored durably."""
    server = target.connect()
    handle = server.scheduleTask(task, parameters, **_options(**given))
    if not wait and not as_json:
        say(handle.id)
        return
    run = wait_for(server, handle.id) if wait else handle.run()
    if as_json:
        print_json(run)
    else:
        print_ending(run)
    if wait:
        raise SystemExit(exit_code(run))


def _options(*, tags: tuple[str, ...], retry_attempts: int | None, **plain: Any) -> CallKeywords:
    """The options of `scheduleTask`; what was not given is the server's to choose."""
    if (after := plain.get("after")) is not None and after.isascii() and after.isdigit():
        plain["after"] = int(after)  # milliseconds, as in Python
    options = {**plain, "tags": tags, "retry": None if retry_attempts is None else {"attempts": retry_attempts}}
    return cast("CallKeywords", {name: value for name, value in options.items() if value is not None})
