"""The statements of this store, read once."""

from __future__ import annotations

from typing import Final

from runner.store.statements import load

SQL: Final = load("sqlite")
