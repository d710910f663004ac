"""`isolane init`: a config, a first task with its test, and an ignored store, in a new folder or an existing one."""

from __future__ import annotations

from pathlib import Path

import click

from runner.cli.display.output import say
from runner.cli.lazy import Failed
from runner.cli.templates import template

_FILES = {"config/isolane.toml": "isolane.toml", "tasks/hello.py": "hello.py.txt", "test_hello.py": "test_hello.py.txt"}
_IGNORED = (".isolane/", "config/secrets.env")


@click.command("init")
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default=Path())
def command(folder: Path) -> None:
    """Start a project in DIR, by default here. Files that exist are never overwritten."""
    existing = [name for name in _FILES if (folder / name).exists()]
    if existing:
        raise Failed(
            f"{' and '.join(existing)} exist in {folder.resolve()}; nothing was written, choose another folder"
        )
    try:
        for name, source in _FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(template(source), encoding="utf-8")
            say(f"wrote {folder / name}")
        _ignore(folder / ".gitignore")
    except OSError as error:
        raise Failed(f"cannot write {error.filename}: {error.strerror}") from error
    enter = "" if folder == Path() else f"cd {folder} && "
    say(f'\nNext: {enter}isolane run hello --parameters \'{{"name": "Ada"}}\'\nThen: isolane serve\nTest: pytest')


def _ignore(file: Path) -> None:
    """Keep the store, its token and secrets out of version control, without touching what else is ignored."""
    lines = file.read_text(encoding="utf-8") if file.exists() else ""
    missing = [line for line in _IGNORED if line not in lines.split()]
    if not missing:
        return
    separator = "\n" if lines and not lines.endswith("\n") else ""
    file.write_text(lines + separator + "".join(f"{line}\n" for line in missing), encoding="utf-8")
    say(f"wrote {file}")
