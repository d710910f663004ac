"""The last good version of each module, kept in one file, so that a restart does not forget it."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.catalog.manifest import TaskManifest, read_manifest
from runner.catalog.snapshot import Snapshot, is_whole
from runner.errors import InvalidError

_FORMAT = 1

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Version:
    """A module as one snapshot has it."""

    code: str  # hash of the snapshot
    file: str  # from the project's folder
    tasks: tuple[TaskManifest, ...]


def read_history(file: Path) -> dict[str, Version]:
    """The versions that were kept and whose snapshots are still whole. What cannot be read counts as never written."""
    try:
        document = json.loads(file.read_bytes())
        if document["format"] != _FORMAT:
            return {}
        kept = document["modules"].items()
        versions = {
            module: Version(entry["code"], entry["file"], read_manifest(entry["tasks"], module))
            for module, entry in kept
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, InvalidError) as error:
        _logger.warning("the last good versions of task modules are forgotten: %s cannot be read: %r", file, error)
        return {}
    whole = {
        code for code in {version.code for version in versions.values()} if is_whole(Snapshot(code, file.parent / code))
    }
    return {module: version for module, version in versions.items() if version.code in whole}


def write_history(file: Path, versions: Mapping[str, Version]) -> None:
    """Keep the versions, all or none.

    Raises:
        OSError: they could not be written.
    """
    modules = {
        module: {"code": version.code, "file": version.file, "tasks": [dict(task.document) for task in version.tasks]}
        for module, version in sorted(versions.items())
    }
    draft = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("x", encoding="utf-8") as out:
            json.dump({"format": _FORMAT, "modules": modules}, out)
            out.flush()
            os.fsync(out.fileno())
        draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)
