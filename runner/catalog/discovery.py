"""Finds the tasks of a snapshot: each module is imported in a sandbox of its own, and says there what it declares.

Task code never runs in the runner, and a module that hangs, exits, floods or lies is a problem of that module alone.
"""

from __future__ import annotations

import asyncio
import keyword
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.catalog.confinement import Launcher, module_spec
from runner.catalog.manifest import TaskManifest, read_manifest
from runner.catalog.snapshot import PACKAGE, Snapshot
from runner.domain.messages import MOST_VALUES, Longest
from runner.domain.run import TaskError
from runner.errors import InvalidError
from sandbox import Confined, Limits, Outcome, SandboxError, WireError
from sandbox.host.output_reader import OutputReader
from sandbox.verdict import killed_for_memory

_OUTPUT_BYTES = 8 << 10
#: Type of the error where the sandbox failed, so that the module may be right.
UNASKED = "SandboxError"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleProblem:
    """Why a module's present state is not in use.

    Attributes:
        module: dotted path below the tasks folder; empty where it is not about one module.
        file: the file, from the project's folder.
        kept: whether an earlier state of it is in use instead.
    """

    module: str
    file: str
    error: TaskError
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Modules:
    """The modules of a snapshot.

    Attributes:
        files: of all of them, named from the project's folder.
        paths: of those that can be asked, below the folder.
        problems: of the others.
    """

    files: Mapping[str, str]
    paths: Mapping[str, str]
    problems: Mapping[str, ModuleProblem]


@dataclass(frozen=True, slots=True)
class Discovery:
    """What each module of a snapshot says, or why it says nothing; `files` as in `Modules`."""

    files: Mapping[str, str]
    manifests: Mapping[str, tuple[TaskManifest, ...]]
    problems: Mapping[str, ModuleProblem]


def find_modules(snapshot: Snapshot) -> Modules:
    """The modules that a snapshot has, or was to have."""
    files, paths, problems = dict[str, str](), dict[str, str](), dict[str, ModuleProblem]()
    for path in _module_paths(snapshot.path / PACKAGE):
        module, file = _module_of(path), f"{PACKAGE}/{path}"
        files[module or path] = file
        if module is None:
            message = "its path cannot be imported: use letters, digits and _, and no word that Python keeps for itself"
            problems[path] = ModuleProblem(module=path, file=file, error=TaskError.bounded("NameError", message))
        else:
            paths[module] = path
    for path, why in snapshot.refused.items():
        module, file = _module_of(path) or path, f"{PACKAGE}/{path}"
        files[module] = file
        problems[module] = ModuleProblem(module=module, file=file, error=TaskError.bounded("TasksFolderError", why))
    return Modules(files, paths, problems)


def _module_paths(root: Path) -> Iterator[str]:
    """The files that are modules with tasks, as paths below `root`; a leading underscore makes a helper."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(("_", ".")))
        for name in sorted(names):
            if name.endswith(".py") and not name.startswith(("_", ".")):
                yield Path(folder, name).relative_to(root).as_posix()


def _module_of(path: str) -> str | None:
    """The dotted name of a file with tasks; `None` for what cannot be imported."""
    parts = path.removesuffix(".py").split("/")
    is_module = path.endswith(".py") and all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)
    return ".".join(parts) if is_module else None


async def ask(
    module: str, snapshot: Snapshot, launcher: Launcher, limits: Limits, *, timeout_s: float
) -> tuple[TaskManifest, ...] | TaskError:
    """Have one module say what it declares, within `limits` and for at most `timeout_s`; or why it says nothing."""
    try:
        confined = await launcher.launch(module_spec(snapshot.path, limits))
    except (SandboxError, OSError) as error:
        return TaskError.bounded(UNASKED, f"it could not be looked at: {error}")
    confined.expect(Longest("module"), MOST_VALUES)
    tail = _Tail()
    reader = OutputReader(confined, tail)
    answer: tuple[TaskManifest, ...] | TaskError | None = None
    timed_out = False
    try:
        async with asyncio.timeout(timeout_s):
            await confined.send({"type": "discover", "module": module})
            answer = await _answer(confined, module)
            if answer is None:
                await _outcome(confined)  # it is ending, and how tells why
    except TimeoutError:
        timed_out = True
    except WireError as error:
        answer = TaskError.bounded("ProtocolError", f"it sent what is no answer: {error}")
    except ConnectionError:
        pass  # it was dead before it could be asked
    finally:
        confined.kill()
        try:
            outcome = await _outcome(confined)
        finally:
            await reader.finish()
    if timed_out:
        return TaskError.bounded("TimeoutError", f"its import took longer than {timeout_s:g} s", tail.text())
    return answer if answer is not None else _silence(outcome, limits, tail.text())


async def _answer(confined: Confined, module: str) -> tuple[TaskManifest, ...] | TaskError | None:
    """Its manifest or its error; `None` where it ended without either. It has no more than one thing to say."""
    match await confined.receive():
        case {"type": "manifest", "tasks": tasks}:
            try:
                # Elsewhere: what hostile code declares may take its time.
                return await asyncio.to_thread(read_manifest, tasks, module)
            except InvalidError as error:
                return TaskError.bounded(type(error).__name__, str(error))
        case {"type": "response", "error": document} if (told := TaskError.read(document)) is not None:
            return told
        case None:
            return None
    return TaskError.bounded("ProtocolError", "it sent something else than what it declares")


async def _outcome(confined: Confined) -> Outcome | SandboxError:
    try:
        return await confined.wait()
    except SandboxError as error:
        return error


def _silence(outcome: Outcome | SandboxError, limits: Limits, tail: str) -> TaskError:
    if isinstance(outcome, SandboxError):
        return TaskError.bounded(UNASKED, f"it could not be looked at: {outcome}", tail)
    if outcome.memory_kills:
        return TaskError.bounded("MemoryError", f"its process {killed_for_memory(limits.memory_bytes)}", tail)
    return TaskError.bounded("ImportError", f"its process {outcome.describe_exit()} while it was imported", tail)


class _Tail:
    """Keeps the end of what a process writes."""

    is_dropping, is_full = True, False

    def __init__(self) -> None:
        self._kept = b""

    async def room(self) -> None:
        """There always is."""

    def write(self, _: str, chunk: bytes) -> None:
        self._kept = (self._kept + chunk)[-_OUTPUT_BYTES:]

    def text(self) -> str:
        return self._kept.decode(errors="replace")
