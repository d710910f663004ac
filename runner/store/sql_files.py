"""The SQL of the stores, which stands in files: statements by name, and the steps by which a schema came to be.

A file of statements holds blocks; each begins with a line `-- name: what_it_does` and goes on to the next. The names of
all files of a folder share one namespace, so a statement is found by its name alone.

A step of a migration is a file, or a folder of files that are applied together. Steps are never changed once they are
released: a new one is added, in which every statement of the version before still finds what it relies on. What all
steps make together is written down in `schema.sql`, by `make schema`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

from runner.errors import InvariantError, StoreVersionError

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_statements(dialect: str) -> Mapping[str, str]:
    """All statements of `runner/store/sql/<dialect>/*.sql`.

    Raises:
        InvariantError: two statements have one name.
    """
    statements: dict[str, str] = {}
    for file in _in_order(files("runner.store").joinpath("sql", dialect)):
        if file.is_dir():
            continue
        _, *parts = _NAME.split(file.read_text(encoding="utf-8"))
        for name, statement in zip(parts[::2], parts[1::2], strict=True):
            if name in statements:
                raise InvariantError(f"two statements are named {name}, one of them in {file.name}")
            statements[name] = statement.strip()
    return statements


def load_steps(dialect: str, folder: str = "migrations") -> list[str]:
    """The SQL of each step in `runner/store/sql/<dialect>/<folder>`, the first first."""
    return [_text(step) for step in _in_order(files("runner.store").joinpath("sql", dialect, folder))]


def check_version(store: str, version: int, *, needed: int, ahead: int = 0, migrating: bool) -> None:
    """Whether this isolane can work on a schema of this version, which may be `ahead` of what it needs.

    Raises:
        StoreVersionError: a newer isolane wrote it; or an older one, and nothing may be migrated.
    """
    if version > needed + ahead:
        raise StoreVersionError(
            f"{store} was written by a newer isolane (schema {version}, this one knows {needed}): upgrade isolane, or "
            "name another store in [runner] store"
        )
    if version < needed and not migrating:
        raise StoreVersionError(
            f"{store} was written by an older isolane (schema {version}, this one needs {needed}): "
            "run `isolane store migrate`"
        )


def _in_order(folder: Traversable) -> list[Traversable]:
    parts = (part for part in folder.iterdir() if part.is_dir() or part.name.endswith(".sql"))
    return sorted(parts, key=lambda part: part.name)


def _text(step: Traversable) -> str:
    if step.is_file():
        return step.read_text(encoding="utf-8")
    return "\n".join(map(_text, _in_order(step)))
