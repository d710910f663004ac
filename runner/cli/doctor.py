"""`isolane doctor`: which walls and limits of the sandbox stand on this host, why not more, and what to do about it."""

from __future__ import annotations

import asyncio

import click
from rich.text import Text

from runner.cli.render import print_block, print_json, print_table
from sandbox.doctor import Finding, diagnose
from sandbox.spec import Level


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option(
    "--require",
    type=click.Choice([str(level) for level in Level]),
    help="Fail if this host allows only a weaker level.",
)
@click.pass_context
def command(context: click.Context, *, as_json: bool, require: str | None) -> None:
    """Try every wall and limit of the sandbox in throwaway processes, and say which stand on this host."""
    findings = asyncio.run(diagnose())
    level = next((finding.name for finding in findings if finding.kind == "level" and finding.stands), None)
    if as_json:
        print_json({"level": level, "findings": [finding.to_document() for finding in findings]})
    else:
        _print(findings, level)
    order = list(Level)
    if level is None or (require is not None and order.index(Level(level)) > order.index(Level(require))):
        context.exit(1)


def _print(findings: list[Finding], level: str | None) -> None:
    rows = [(finding.kind, finding.name, _mark(finding), finding.detail) for finding in findings]
    print_table(("", "NAME", "STANDS", "DETAIL"), rows)
    remedies = {finding.remedy: None for finding in findings if finding.remedy}
    if remedies:
        print_block("To get what is missing:", "\n".join(remedies))
    click.echo(f"\nTasks are confined at level {level}." if level else "\nTasks cannot be confined on this host.")


def _mark(finding: Finding) -> Text:
    return Text("yes", style="green") if finding.stands else Text("no", style="red")
