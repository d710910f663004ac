"""`isolane tasks`: look at tasks, write a new one."""

from __future__ import annotations

import json
import keyword
import os
from pathlib import Path
from typing import Any

import click

from runner.cli import options
from runner.cli.display.output import say
from runner.cli.display.render import (
    json_block,
    name_column,
    print_block,
    print_facts,
    print_json,
    print_table,
    short_column,
)
from runner.cli.lazy import Failed
from runner.cli.server_address import ServerAddress
from runner.cli.templates import template
from runner.domain.escaping import escaped
from runner.sdk.locate import find_project


@click.group("tasks")
def command() -> None:
    """Look at tasks, write a new one."""


@command.command("list")
@options.as_json
@click.pass_obj
def list_(target: ServerAddress, *, as_json: bool) -> None:
    """List the tasks that the server has, and the files that do not work."""
    tasks = target.connect().tasks()
    if as_json:
        print_json(tasks)
        return
    if tasks["items"]:
        print_table(
            [name_column("task"), name_column("queue"), short_column("starts"), name_column("description")],
            [
                (
                    task["name"],
                    task["options"]["queue"] or "",
                    _schedule(task["options"]),
                    (task["description"] or "").partition("\n")[0],
                )
                for task in tasks["items"]
            ],
        )
    else:
        say("no tasks; `isolane tasks new NAME` writes one", err=True)
    for problem in tasks["problems"]:
        error = problem["error"]
        kept = " (its last good version is used)" if problem["kept"] else ""
        print_block(
            f"{problem['file']} does not work{kept}", error["traceback"] or f"{error['type']}: {error['message']}"
        )


def _schedule(options_: dict[str, Any]) -> str:
    """When it starts by itself, as its options say it."""
    if options_["cron"]:
        return f"{options_['cron']} {options_['timezone'] or ''}".strip()
    return f"every {options_['every']}" if options_["every"] else ""


@command.command("show")
@click.argument("name")
@options.as_json
@click.pass_obj
def show(target: ServerAddress, name: str, *, as_json: bool) -> None:
    """Show one task with its options and the shape of its parameters."""
    task = target.connect().task(name)
    if as_json:
        print_json(task)
        return
    print_facts(
        [
            ("task", task["name"]),
            ("description", task["description"]),
            ("file", task["file"]),
            ("function", task["function"]),
            ("code", task["code"]),
            *((option, _option(value)) for option, value in task["options"].items() if option != "description"),
        ]
    )
    if task["schema"] is not None:
        print_block("parameters", json_block(task["schema"]))


def _option(value: Any) -> str | None:
    if value is None or value == []:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@command.command("new")
@click.argument("name")
def new(name: str) -> None:
    """Write the file of a new task NAME; dots make folders. A file that exists is never overwritten."""
    project = find_project(Path.cwd())
    if project is None:
        raise Failed("this folder is in no project; go to one, or make one with `isolane init`")
    parts = name.split(".")
    for part in parts:
        if not part.isidentifier() or keyword.iskeyword(part) or part.startswith("_"):
            raise click.BadParameter(
                f"{escaped(part)!r} is no name of a Python module; use letters, digits and _, such as billing.invoice"
            )
    file = Path(os.path.relpath(project), "tasks", *parts).with_suffix(".py")
    modules = [folder.with_suffix(".py") for folder in list(file.parents)[: len(parts) - 1]]
    if file.with_suffix("").is_dir() or any(module.exists() for module in modules):
        raise Failed(f"{file} and a folder of its name would hide each other; nothing was written, choose another name")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as out:
            out.write(template("task.py.txt").format(name=name))
    except FileExistsError as error:
        raise Failed(f"{error.filename} exists; nothing was written, choose another name") from error
    except OSError as error:
        raise Failed(f"cannot write {error.filename}: {error.strerror}") from error
    say(f"wrote {file}\n\nNext: isolane run {name} --parameters '{{\"count\": 3}}'")
