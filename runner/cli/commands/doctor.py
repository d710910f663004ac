"""`isolane doctor`: which walls and limits of the sandbox stand on this host, why not more, and what to do about it.

In a project's folder also: which of its tasks start warm, and why the others do not.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
from rich.text import Text

from runner.cli import options
from runner.cli.display.output import say
from runner.cli.display.render import print_block, print_json, print_table
from runner.config import Settings, load
from runner.sdk.locate import find_project
from runner.units import describe_seconds
from runner.warm_starts import warm_starts
from sandbox.doctor import Finding, diagnose
from sandbox.spec import Level


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option(
    "--require",
    type=click.Choice([str(level) for level in Level]),
    help="Fail if this host allows only a weaker level.",
)
@options.config_file
@click.pass_context
def command(context: click.Context, *, as_json: bool, require: str | None, config_path: Path | None) -> None:
    """Try every wall and limit of the sandbox in throwaway processes, and say which stand on this host.

    In a project's folder, try its tasks as well: which can start warm, and why others cannot.
    """
    settings = load(config_path) if config_path or find_project(Path.cwd()) else None
    findings = asyncio.run(diagnose())
    level = next((finding.name for finding in findings if finding.kind == "level" and finding.stands), None)
    if not as_json:
        _print(findings, level)
    tasks = asyncio.run(warm_starts(settings)) if settings is not None and level is not None else None
    if as_json:
        print_json(
            {
                "level": level,
                "findings": [finding.to_document() for finding in findings],
                "tasks": tasks
                and [{"file": file, "warm": not why, "reason": why or None} for file, why in tasks.items()],
            }
        )
    elif tasks and settings is not None:
        _print_tasks(tasks, settings)
    order = list(Level)
    if level is None or (require is not None and order.index(Level(level)) > order.index(Level(require))):
        context.exit(1)


def _print(findings: list[Finding], level: str | None) -> None:
    rows = [(finding.kind, finding.name, _mark(finding), finding.detail) for finding in findings]
    print_table(("", "NAME", "STANDS", "DETAIL"), rows)
    remedies = {finding.remedy: None for finding in findings if finding.remedy}
    if remedies:
        print_block("To get what is missing:", "\n".join(remedies))
    say(f"\nTasks are confined at level {level}." if level else "\nTasks cannot be confined on this host.")


def _print_tasks(tasks: dict[str, str], settings: Settings) -> None:
    if settings.sandbox.keep_warm_s <= 0:
        say('\nEvery attempt imports its modules anew, since [sandbox] keep_warm is "0s".')
        return
    say(f"\nTasks start warm when they ran within {describe_seconds(settings.sandbox.keep_warm_s)}:")
    rows = [
        (
            file,
            Text("warm", style="green") if not why else Text("anew", style="yellow"),
            why and f"warming up, it {why}",
        )
        for file, why in tasks.items()
    ]
    print_table(("FILE", "STARTS", "WHY"), rows)


def _mark(finding: Finding) -> Text:
    return Text("yes", style="green") if finding.stands else Text("no", style="red")
