"""The statements of this store, read once."""

from __future__ import annotations

from typing import Final

from runner.store.queries import load

SQL: Final = load("postgres")
