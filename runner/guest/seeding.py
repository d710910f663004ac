"""Notes whether a file seeds the random generators that all share when it is imported.

A fork seeds them anew, so that attempts of one import differ. A file that called `random.seed(7)` at its top wants the
same numbers in each run, one that called `random.seed(time.time())` wants others: only an import of its own gives both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from runner.guest.on_import import after_import

#: By module: the functions that make its shared generator's numbers known ones.
_SEEDING = {"random": ("seed", "setstate"), "numpy.random": ("seed", "set_state")}


class SeedWatch:
    """Looks at calls of `seed` and the like from when it is made until `end`."""

    def __init__(self) -> None:
        self._seeded: dict[str, None] = {}
        self._forget = [after_import(name, self._watch) for name in _SEEDING]
        self._restore: list[Callable[[], None]] = []

    def end(self) -> str:
        """Look no longer. The functions that were called, as "random.seed"; empty if none was."""
        for undo in (*self._forget, *self._restore):
            undo()
        return " and ".join(self._seeded)

    def _watch(self, module: ModuleType) -> None:
        for name in _SEEDING[module.__name__]:
            own = getattr(module, name)
            setattr(module, name, self._noting(own, f"{module.__name__}.{name}"))
            self._restore.append(functools.partial(setattr, module, name, own))

    def _noting(self, own: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(own)
        def note(*arguments: Any, **named: Any) -> Any:
            if any(value is not None for value in (*arguments, *named.values())):  # else it asks for unknown numbers
                self._seeded[name] = None
            return own(*arguments, **named)

        return note
