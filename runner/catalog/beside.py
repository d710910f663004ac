"""Where a module lies that a task's file imports and does not find: beside the project, or elsewhere in it.

What it names is shown to who runs the project, and only for a file that was asked for its tasks: one that asked for
names of its own choice, and could read the answers, would find out what lies beside the project.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from runner.domain.run import TaskError

_MISSING = re.compile(r"No module named '([A-Za-z_][A-Za-z0-9_]{0,99})[.']")
#: Folders that are looked into at most, beside the project and in it.
_MOST_FOLDERS = 300


def advised(error: TaskError, project: Path, packages: Collection[Path]) -> TaskError:
    """The error with what there is to do, where it is about a module that lies nearby; `packages` are shown already."""
    missing = _MISSING.match(error.message) if error.type == "ModuleNotFoundError" else None
    if missing is None:
        return error
    advice = _advice(missing[1], project, packages)
    if not advice:
        return error
    more = f"({advice})"
    return replace(error, message=f"{error.message} {more}", traceback=f"{error.traceback}{more}\n")


def _advice(name: str, project: Path, packages: Collection[Path]) -> str:
    if _has(project / "tasks", name):
        return f"{name} lies in tasks/: from tasks import {name}"
    for folder in _nearby(name, project):
        if folder not in packages:
            shown = [os.path.relpath(each, project) for each in (*packages, folder)]
            return f"{shown[-1]} has it: write {_line(shown)}"
    if (project / f"{name}.py").is_file():
        shown = [*(os.path.relpath(each, project) for each in packages), "lib"]
        return f"move {name}.py into a folder lib/, and write {_line(shown)}"
    return ""


def _line(packages: list[str]) -> str:
    return f"packages = {json.dumps(packages)} under [code] in config/isolane.toml"


def _nearby(name: str, project: Path) -> Iterator[Path]:
    """Folders that bring the module if they are shown."""
    for folder in (project / name, project.parent / name):
        if (folder / "__init__.py").is_file():
            yield folder
    own = (project / "tasks", project / "config")
    for around in (project, project.parent):
        for folder in _folders(around):
            is_taken = folder == project or folder in own or (folder / "__init__.py").is_file()
            if not is_taken and (_has(folder, name) or _has(folder / "src", name)):
                yield folder


def _folders(around: Path) -> list[Path]:
    try:
        with os.scandir(around) as entries:
            few = itertools.islice(entries, _MOST_FOLDERS)
            return sorted(around / each.name for each in few if each.is_dir() and not each.name.startswith("."))
    except OSError:
        return []


def _has(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
