"""From the chosen versions of the modules to tasks that can be run: with what the config says of them, and confined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runner.catalog.beside import advised
from runner.catalog.choice import Choice
from runner.catalog.confinement import check_level, task_spec
from runner.catalog.discovery import ModuleProblem
from runner.catalog.history import Version
from runner.catalog.manifest import TaskManifest
from runner.config import Settings
from runner.domain.checks import dotted, nearest
from runner.domain.names import task_name
from runner.domain.options.task_options import TaskOptions
from runner.domain.run import TaskError
from runner.errors import ConfigError, InvalidOptionError, SecretError, UnknownTaskError
from runner.store.records import TaskKey
from sandbox import Level, Spec

APP = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEntry:
    """A task that can be run here.

    Attributes:
        file: from the project's folder, such as "tasks/billing.py".
        arguments: how many its function takes.
        schema: of its parameters, `None` for any object.
        code: hash of the snapshot that its module is taken from.
        spec: how an attempt of it is confined.
        shape: the schema, ready to be checked.
    """

    app: str
    name: str
    module: str
    function: str
    file: str
    description: str | None
    arguments: int
    schema: Mapping[str, Any] | None
    options: TaskOptions
    code: str
    spec: Spec = field(repr=False)
    shape: str | None = field(repr=False)

    @property
    def origin(self) -> str:
        """What it is called by its file alone, which its file cannot choose."""
        return task_name(self.module, self.function)


@dataclass(frozen=True, slots=True)
class Entries:
    """The tasks that can be run, what is wrong, and whether that is secrets that are not there now."""

    tasks: Mapping[TaskKey, TaskEntry]
    problems: Mapping[str, ModuleProblem]
    lack_secrets: bool


class EntryMaker:
    """Makes entries for one node, whose snapshots are kept in `code`."""

    def __init__(self, settings: Settings, code: Path) -> None:
        self._settings, self._code = settings, code

    def make(self, choice: Choice, packages: str, level: Level) -> Entries:
        """The entries of these versions, with the secrets that are there now; in a thread, since disks may be slow.

        `packages` is the signature of those that are installed, `level` that of the node's sandbox.
        """
        tasks, lack_secrets = dict[TaskKey, TaskEntry](), False
        project, beside = self._settings.project, self._settings.packages.values()
        problems = {
            name: replace(problem, error=advised(problem.error, project, beside))
            for name, problem in choice.problems.items()
        }
        for module, version in choice.versions.items():
            for task in version.tasks:
                try:
                    tasks[TaskKey(APP, task.name)] = self._entry(module, version, task, packages, level)
                except (ConfigError, InvalidOptionError) as error:
                    lack_secrets |= isinstance(error, SecretError)
                    problems[task.name] = ModuleProblem(module=module, file=version.file, error=told(error))
        return Entries(tasks, problems | self._unmatched(tasks, problems), lack_secrets)

    def _entry(self, module: str, version: Version, task: TaskManifest, packages: str, level: Level) -> TaskEntry:
        settings, origin = self._settings, task_name(module, task.function)
        settings.bounds.check_name(task.name, origin)
        options = settings.task_options(task.name, task.options)
        check_level(level, options, task.name)
        if options.secrets:  # a run would not find them either
            settings.secrets.read(task.name, origin, options.secrets)
        spec = task_spec(
            settings,
            self._code / version.code,
            options,
            name=task.name,
            origin=origin,
            module=module,
            packages=packages,
        )
        return TaskEntry(
            app=APP,
            name=task.name,
            module=module,
            function=task.function,
            file=version.file,
            description=options.description,
            arguments=task.arguments,
            schema=task.schema,
            options=options,
            code=version.code,
            spec=spec,
            shape=task.shape,
        )

    def _unmatched(
        self, tasks: Mapping[TaskKey, TaskEntry], problems: Mapping[str, ModuleProblem]
    ) -> dict[str, ModuleProblem]:
        """Sections of the config for tasks that are not there, though no broken module may hide them."""
        unmatched = {}
        broken = tuple(problem.module for problem in problems.values() if not problem.kept)
        for name in self._settings.overridden_tasks:
            if TaskKey(APP, name) in tasks or name.startswith(broken):
                continue
            section = f"tasks.{dotted(name)}"
            hint = nearest(name, (key.task for key in tasks))
            error = UnknownTaskError(f"[{section}] is about a task that is not there{hint}")
            unmatched[section] = ModuleProblem(module="", file=str(self._settings.file), error=told(error))
        return unmatched


def told(error: Exception) -> TaskError:
    """An error of ours, as one of a module is shown."""
    return TaskError(type=type(error).__name__, message=str(error), traceback="")
