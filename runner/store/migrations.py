"""The numbered steps by which a database comes to the schema of today.

A step is a file, or a folder of files that are applied together. Steps are never changed once they are released: a new
one is added, in which every statement of the version before still finds what it relies on. What all steps make together
is written down in `schema.sql`, by `make schema`.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from runner.errors import StoreVersionError


def steps(dialect: str, folder: str = "migrations") -> list[str]:
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
