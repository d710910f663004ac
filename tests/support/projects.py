"""Projects made for a test: a folder with a config and tasks."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from runner.config import Settings, load_settings

#: Limits that make tests quick; a test's own config may say otherwise.
CONFIG = """
[runner]
concurrency = 4
memory = "2GB"
stop_grace = "200ms"
[defaults]
timeout = "30s"
memory = "128MB"
[defaults.retry]
attempts = 2
first = "10ms"
jitter = 0.0
"""


def write_project(folder: Path, tasks: Mapping[str, str], config: str = CONFIG) -> Path:
    """Write `tasks` (file name to source) and the config into `folder`."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "config" / "isolane.toml").write_text(config)
    for name, source in tasks.items():
        path = folder / "tasks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
    return folder


def settings_of(folder: Path) -> Settings:
    """The settings of a project."""
    return load_settings(folder / "config" / "isolane.toml", cwd=folder)
