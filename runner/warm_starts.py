"""Tries which of a project's tasks can start warm: what `isolane doctor` says of them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from runner.catalog import START_PATIENCE_S, Catalog
from runner.catalog.confinement import make_sandbox, unstartable
from runner.config import Settings
from sandbox import SandboxError


async def warm_starts(settings: Settings) -> dict[str, str]:
    """Try, for each file of tasks, whether its attempts can start warm: why not, or an empty text if they can.

    Raises:
        ConfigError: the level that the config demands cannot be had.
        TasksFolderError: there are no tasks to try.
    """
    with tempfile.TemporaryDirectory(prefix="isolane-") as folder:
        sandbox = make_sandbox(settings, Path(folder) / "attempts.lock")
        catalog = Catalog(settings, sandbox)
        try:
            await sandbox.start()
            await catalog.load(patience_s=START_PATIENCE_S)
            entries = {entry.file: entry for entry in catalog.entries.values()}
            found = dict[str, str]()
            for file in sorted(entries):
                found[file] = await sandbox.warm_up(entries[file].spec)
                sandbox.retire_zygotes(lambda _: False)
        except SandboxError as error:
            raise unstartable(error) from error
        else:
            return found
        finally:
            await catalog.close()
            await sandbox.close()
