"""What a run's end is to a script: an exit code, a result on stdout, the reason on stderr."""

from __future__ import annotations

from typing import Any

from runner.cli.display.output import say
from runner.cli.display.render import print_json
from runner.domain.escaping import escaped

SUCCESS, ERROR, NO_RESPONSE = 0, 1, 3


def exit_code(run: dict[str, Any]) -> int:
    """0 for a success, 1 for an error that the task raised, 3 for an end without a response."""
    if run["status"] == "succeeded":
        return SUCCESS
    return ERROR if run["status"] == "failed" and run["reason"] == "error" else NO_RESPONSE


def print_ending(run: dict[str, Any]) -> None:
    """The result of a run that succeeded as JSON on stdout; of any other, the reason on stderr."""
    if run["status"] == "succeeded":
        print_json(run["result"])
        return
    if run["error"] is not None:
        for line in run["error"]["traceback"].splitlines():
            say(f"  {escaped(line)}", err=True)
    say(f"{run['status']}: {escaped(run['why'] or 'no reason is known')}", err=True)
