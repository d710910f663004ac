"""`isolane store`: bring a store up to date, check it, move it to another one. Works here and now, without a server."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from runner.cli.display.output import say
from runner.cli.display.render import console, print_json
from runner.cli.options import config_file
from runner.config import load
from runner.domain.escaping import escaped
from runner.domain.options.queue_rule import QueueRule
from runner.errors import ConflictError
from runner.store import open_store
from runner.store.contents import TABLES
from runner.store.contract import Store
from runner.store.copying import copy as copy_store
from runner.store.records import StoreLimits

_store_url = click.option(
    "--store", "url", metavar="URL", help='"sqlite:PATH" or "postgresql://…", instead of the config\'s.'
)


@click.group("store")
def command() -> None:
    """Bring the store up to date, check it, move it."""


@command.command("migrate")
@_store_url
@config_file
def migrate(url: str | None, config_path: Path | None) -> None:
    """Bring the schema up to date, or make the store.

    A runner does so too when it starts.
    """
    store, name = _named(url, config_path)
    asyncio.run(store.migrate())
    say(f"{escaped(name)} is up to date")


@command.command("check")
@_store_url
@config_file
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def check(context: click.Context, url: str | None, config_path: Path | None, *, as_json: bool) -> None:
    """Check that the store is whole and counts right.

    Its schema, the integrity of its files, and all that it counts; exit code 1 if something is wrong. Nothing is
    written, so that a copy can be checked too; a runner may go on meanwhile.
    """
    store, name = _named(url, config_path)
    problems = asyncio.run(store.check())
    if as_json:
        print_json({"store": name, "problems": problems})
    else:
        for problem in problems:
            say(escaped(problem))
        if not problems:
            say(f"{escaped(name)} is right")
    if problems:
        context.exit(1)


@command.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def copy(source: str, target: str) -> None:
    """Copy all that the store FROM holds to the store TO.

    Each is "sqlite:PATH" or "postgresql://…", and TO holds no runs. No runner may use either meanwhile. A copy that was
    interrupted goes on when it is made again. FROM stays as it is.
    """
    one, name = _at(source)
    other, other_name = _at(target)
    if name == other_name:
        raise ConflictError("FROM and TO are one store")
    with _progress() as advance:
        copied = asyncio.run(_copy(one, other, name, advance))
    say(f"copied {copied['runs']} runs to {escaped(other_name)}; name it as `store` in [runner] of the config")


async def _copy(source: Store, target: Store, name: str, advance: Callable[[str, int, int], None]) -> dict[str, int]:
    await source.open(as_it_is=True)
    try:
        await target.migrate()
        await target.open(as_it_is=True)
        try:
            return await copy_store(source, target, name, advance)
        finally:
            await target.close()
    finally:
        await source.close()


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each table on a terminal's stderr, nothing elsewhere."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty()) as bars:
        tasks = {table.name: bars.add_task(table.name.replace("_", " "), start=False) for table in TABLES}

        def advance(table: str, done: int, total: int) -> None:
            bars.start_task(tasks[table])
            bars.update(tasks[table], completed=done, total=total)

        yield advance


def _named(url: str | None, config_path: Path | None) -> tuple[Store, str]:
    """The store that was named, else the config's."""
    if url is not None:
        return _at(url)
    settings = load(config_path)
    return _at(settings.runner.listen_url or settings.runner.store, settings.project)  # rather not through a pooler


def _at(url: str, folder: Path | None = None) -> tuple[Store, str]:
    """The store at a URL, its path from this folder on, and its name without a password."""
    folder = folder or Path.cwd()
    store = open_store(url, project=folder, limits=StoreLimits(), queue_rule=lambda _app, _queue: QueueRule())
    if url.startswith("sqlite:"):
        return store, f"sqlite:{(folder / url.partition(':')[2]).resolve()}"
    parts = urlsplit(url)
    where = urlencode([pair for pair in parse_qsl(parts.query) if pair[0] in {"host", "port", "dbname"}], safe="/")
    name = f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return store, f"{name}?{where}" if where else name
