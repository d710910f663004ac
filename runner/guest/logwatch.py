"""Sees to it that what a task logs reaches its log, without importing `logging` for tasks that do not.

A finder in front of all others waits for the import of `logging`, and adds isolane's handler to it once it is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from runner.sdk.link import Link


def watch(link: Link) -> None:
    """Send log records through `link` from when `logging` is there, which may be now."""
    if "logging" in sys.modules:
        _attach(link)
    else:
        sys.meta_path.insert(0, _Finder(link))


class _Finder:
    def __init__(self, link: Link) -> None:
        self._link = link

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: Any) -> None:
        execute = loader.exec_module

        def execute_and_attach(module: ModuleType) -> None:
            execute(module)
            _attach(self._link)

        loader.exec_module = execute_and_attach


def _attach(link: Link) -> None:
    from runner.guest.loghandler import attach  # noqa: PLC0415 - imports logging

    attach(link)
