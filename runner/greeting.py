"""What `isolane serve` says when it serves: where, confined how, which tasks, what is wrong with them, what to try."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Protocol

from runner.catalog import Catalog
from runner.domain.escaping import escaped


class Say(Protocol):
    """Prints lines for whoever started it."""

    def __call__(self, text: str, /, *, err: bool = False) -> None:
        """Print to stdout, or to stderr."""


def greet(url: str, walls: str, catalog: Catalog, say: Say) -> None:
    """Say it."""
    names = ", ".join(sorted(key.task for key in catalog.entries)) or "none yet"
    say(f"isolane serves {url}")
    level, _, standing = walls.partition(": ")
    say(f"  sandbox: {level} ({standing.count(',') + 1} walls; `isolane doctor` names them)")
    say(f"  tasks:   {names}")
    for problem in catalog.problems.values():
        first = problem.error.message.strip().split("\n")[0]
        say(escaped(f"  problem: {problem.file}: {problem.error.type}: {first}"), err=True)
    example = min((key.task for key in catalog.entries), key=len, default="TASK")
    say("Try, in another terminal in this folder:")
    if shutil.which("isolane") is None:
        say(f"  . {os.path.relpath(Path(sys.prefix) / 'bin' / 'activate')}")
    say(f"  isolane schedule {example} --wait\n  isolane runs list")
