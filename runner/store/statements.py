"""Statements by name, from the `.sql` files of one dialect.

A file holds blocks; each begins with a line `-- name: what_it_does` and goes on to the next. The names of all files of
a folder share one namespace, so a statement is found by its name alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

from runner.errors import InvariantError

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load(dialect: str) -> Mapping[str, str]:
    """All statements of `runner/store/sql/<dialect>/*.sql`.

    Raises:
        InvariantError: two statements have one name.
    """
    statements: dict[str, str] = {}
    for file in files("runner.store").joinpath("sql", dialect).iterdir():
        if not file.name.endswith(".sql"):
            continue
        _, *parts = _NAME.split(file.read_text(encoding="utf-8"))
        for name, statement in zip(parts[::2], parts[1::2], strict=True):
            if name in statements:
                raise InvariantError(f"two statements are named {name}, one of them in {file.name}")
            statements[name] = statement.strip()
    return statements
