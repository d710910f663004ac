"""The last good version and the last answer of each module, kept in one file: a restart forgets neither."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from runner.catalog.inquiry import Remembered
from runner.catalog.manifest import TaskManifest, read_manifest
from runner.catalog.snapshot import Snapshot, is_whole
from runner.domain.run import TaskError
from runner.errors import InvalidError

_FORMAT = 1
_LONGEST_TRACEBACK = 4_000

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Version:
    """A module as one snapshot has it."""

    code: str  # hash of the snapshot
    file: str  # from the project's folder
    tasks: tuple[TaskManifest, ...]


@dataclass(frozen=True, slots=True)
class History:
    """What is kept beyond a restart: the last good version of each module, and what each answered last."""

    versions: Mapping[str, Version] = field(default_factory=dict)
    answers: Mapping[str, Remembered] = field(default_factory=dict)


def read_history(file: Path) -> History:
    """What was kept, without versions whose snapshots are not whole. What cannot be read counts as never written."""
    try:
        document = json.loads(file.read_bytes())
        if document["format"] != _FORMAT:
            return History()
        versions = {
            module: Version(entry["code"], entry["file"], read_manifest(entry["tasks"], module))
            for module, entry in document["modules"].items()
        }
        answers = {module: _answer(module, entry) for module, entry in document["answers"].items()}
    except FileNotFoundError:
        return History()
    except (OSError, ValueError, LookupError, TypeError, AttributeError, InvalidError) as error:
        _logger.warning("the last good versions of task modules are forgotten: %s cannot be read: %r", file, error)
        return History()
    whole = {
        code for code in {version.code for version in versions.values()} if is_whole(Snapshot(code, file.parent / code))
    }
    return History({module: version for module, version in versions.items() if version.code in whole}, answers)


def _answer(module: str, entry: Mapping[str, Any]) -> Remembered:
    error = entry.get("error")
    return Remembered(str(entry["make"]), TaskError(**error) if error else read_manifest(entry["tasks"], module))


def _answered(known: Remembered) -> dict[str, Any]:
    if isinstance(known.answer, TaskError):
        error = {**asdict(known.answer), "traceback": known.answer.traceback[-_LONGEST_TRACEBACK:]}
        return {"make": known.make, "error": error}
    return {"make": known.make, "tasks": [dict(task.document) for task in known.answer]}


def write_history(file: Path, history: History) -> None:
    """Keep all of it, or nothing.

    Raises:
        OSError: they could not be written.
    """
    modules = {
        module: {"code": version.code, "file": version.file, "tasks": [dict(task.document) for task in version.tasks]}
        for module, version in sorted(history.versions.items())
    }
    answers = {module: _answered(known) for module, known in sorted(history.answers.items())}
    draft = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("x", encoding="utf-8") as out:
            json.dump({"format": _FORMAT, "modules": modules, "answers": answers}, out)
            out.flush()
            os.fsync(out.fileno())
        draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)
