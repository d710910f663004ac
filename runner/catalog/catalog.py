"""The tasks of a node: from the tasks folder to what can be scheduled and executed.

Loading takes a snapshot of the folder, asks its modules in the sandbox what they declare, chooses for each module the
new version or its last good one, and joins each task's options with the config's. What is in use changes in one step
at the end, so readers on the event loop always see one whole state, and an attempt's entry names its snapshot.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from runner.catalog import schema, snapshot
from runner.catalog.choice import Choice, choose
from runner.catalog.discovery import CODE, ENTRY, ENVIRONMENT, WARM_UP, Launcher, ModuleProblem, code_mount, discover
from runner.catalog.history import Version, read_history, write_history
from runner.catalog.manifest import TaskManifest
from runner.catalog.watching import watch
from runner.config import Settings
from runner.domain.checks import dotted, nearest, shown
from runner.domain.options import TaskOptions
from runner.domain.run import TaskError
from runner.errors import ConfigError, InvalidOptionError, SecretError, TasksFolderError, UnknownTaskError
from runner.store.records import TaskKey
from sandbox import Level, Limits, Spec, WarmUp

_APP = "main"
_FOLDER = snapshot.PACKAGE

_logger = logging.getLogger(__name__)


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
    is_async: bool
    arguments: int
    schema: Mapping[str, Any] | None
    options: TaskOptions
    code: str
    spec: Spec = field(repr=False)
    shape: str | None = field(repr=False)


class Catalog:
    """The tasks in use. `load` it first, then `watch` it; both may be called whenever.

    Attributes:
        entries: the tasks that can be run.
        problems: what is wrong, by module, or by what it is about.
    """

    def __init__(self, settings: Settings, launcher: Launcher, *, import_timeout_s: float = 30.0) -> None:
        self.entries: Mapping[TaskKey, TaskEntry] = MappingProxyType({})
        self.problems: Mapping[str, ModuleProblem] = MappingProxyType({})
        self._settings = settings
        self._launcher = launcher
        self._import_timeout_s = import_timeout_s
        self._folder = settings.project / _FOLDER
        self._code = settings.project / ".isolane" / "code"
        self._history = self._code / "catalog.json"
        self._choice: Choice | None = None  # `None` before the first load
        self._loaded: snapshot.Snapshot | None = None  # the state of the folder that is in use
        self._lacks_secrets = False  # at the last look
        self._loading = asyncio.Lock()

    async def load(self) -> bool:
        """Take the tasks folder as it is now into use; whether anything changed.

        Raises:
            TasksFolderError: at the first load, the folder cannot be used, or two tasks have one name. Later this is
                one of `problems`, and what is in use stays.
        """
        async with self._loading:
            try:
                state = await asyncio.to_thread(snapshot.take, self._folder, self._code)
            except TasksFolderError as error:
                if self._choice is None:
                    raise
                return self._show_folder_problem(error)
            if state != self._loaded:
                await self._take_into_use(state)
                return True
            if self._choice and self._lacks_secrets:  # they may be there by now
                known = self.entries
                await self._join(self._choice)
                return self.entries != known
            return False

    async def _take_into_use(self, state: snapshot.Snapshot) -> None:
        is_first = self._choice is None
        last_good = self._choice.versions if self._choice else await asyncio.to_thread(read_history, self._history)
        # What a task may use is known once its module was asked; until then the defaults hold.
        limits = _limits(self._settings.task_options("", {}))
        found = await discover(state, self._launcher, limits, timeout_s=self._import_timeout_s)
        choice = choose(found, state.hash, last_good)
        if is_first and choice.clashes:
            name, files = next(iter(choice.clashes.items()))
            raise TasksFolderError(f"two tasks are named {name}: in {' and in '.join(files)}; rename one of them")
        try:
            await asyncio.to_thread(write_history, self._history, choice.versions)
        except OSError as error:
            _logger.warning("the last good versions of task modules are not kept beyond a restart: %s", error)
        await self._join(choice)
        self._choice, self._loaded = choice, state if found.is_certain else None

    async def _join(self, choice: Choice) -> None:
        """Take the chosen versions into use, with what the config says and the secrets that are there now."""
        entries, problems = dict[TaskKey, TaskEntry](), dict(choice.problems)
        self._lacks_secrets = False
        for module, version in choice.versions.items():
            for task in version.tasks:
                try:
                    entry = self._entry(module, version, task)
                    if entry.options.secrets:  # a run would not find them either
                        await asyncio.to_thread(self._settings.secrets.read, task.name, entry.options.secrets)
                    entries[TaskKey(_APP, task.name)] = entry
                except (ConfigError, InvalidOptionError) as error:
                    self._lacks_secrets |= isinstance(error, SecretError)
                    problems[task.name] = ModuleProblem(module=module, file=version.file, error=_told(error))
        problems |= self._unmatched(entries, problems)
        self.entries, self.problems = MappingProxyType(entries), MappingProxyType(problems)

    def _entry(self, module: str, version: Version, task: TaskManifest) -> TaskEntry:
        options = self._settings.task_options(task.name, task.options)
        if isinstance(options.network, tuple) and self._launcher.level is not Level.FULL:
            raise InvalidOptionError(
                f"network of {task.name}: single hosts are granted at level full only, and the sandbox of this node is "
                f"{self._launcher.level}; `isolane doctor` says what it lacks"
            )
        return TaskEntry(
            app=_APP,
            name=task.name,
            module=module,
            function=task.function,
            file=version.file,
            description=options.description,
            is_async=task.is_async,
            arguments=task.arguments,
            schema=task.schema,
            options=options,
            code=version.code,
            spec=self._spec(module, version.code, task.name, options),
            shape=task.shape,
        )

    def _spec(self, module: str, code: str, name: str, options: TaskOptions) -> Spec:
        return Spec(
            entry=ENTRY,
            limits=_limits(options),
            mounts=(code_mount(self._code / code), *self._settings.mounts_for(name)),
            path=(CODE,),
            environment=ENVIRONMENT,
            network=options.network,
            warm_up=WarmUp(entry=WARM_UP, arguments=(module, *self._settings.sandbox.preload)),
            name=re.sub(r"[^A-Za-z0-9]+", "-", name)[:40].strip("-") or "task",
        )

    def _unmatched(
        self, entries: Mapping[TaskKey, TaskEntry], problems: Mapping[str, ModuleProblem]
    ) -> dict[str, ModuleProblem]:
        """Sections of the config for tasks that are not there, though no broken module may hide them."""
        unmatched = {}
        broken = tuple(problem.module for problem in problems.values() if not problem.kept)
        for name in self._settings.overridden_tasks:
            if TaskKey(_APP, name) in entries or name.startswith(broken):
                continue
            section = f"tasks.{dotted(name)}"
            hint = nearest(name, (key.task for key in entries))
            error = UnknownTaskError(f"[{section}] is about a task that is not there{hint}")
            unmatched[section] = ModuleProblem(module="", file=str(self._settings.file), error=_told(error))
        return unmatched

    def _show_folder_problem(self, error: TasksFolderError) -> bool:
        problem = ModuleProblem(module="", file=_FOLDER, error=_told(error), kept=True)
        changed = self.problems.get(_FOLDER + "/") != problem
        self.problems = MappingProxyType({**self.problems, _FOLDER + "/": problem})
        self._loaded = None  # so that the problem goes when the folder is as it was
        return changed

    def find(self, app: str, name: str) -> TaskEntry:
        """A task by its name.

        Raises:
            UnknownTaskError: there is none; the message has the nearest names, or says which file may have it.
        """
        if (entry := self.entries.get(TaskKey(app, name))) is not None:
            return entry
        for problem in self.problems.values():
            if app == _APP and problem.module and not problem.kept and f"{name}.".startswith(f"{problem.module}."):
                raise UnknownTaskError(
                    f"no task {shown(name)}: {problem.file} does not work ({problem.error.type}); "
                    "`isolane tasks list` shows why"
                )
        hint = nearest(name, (key.task for key in self.entries if key.app == app))
        raise UnknownTaskError(f"no task {shown(name)}{hint or '; `isolane tasks list` shows those there are'}")

    def check_parameters(self, entry: TaskEntry, value: object) -> None:
        """Check parameters against the task's own schema.

        Raises:
            ShapeError: they do not fit; names the place.
        """
        if entry.shape is not None:
            schema.check(entry.shape, value)

    def is_current(self, spec: Spec) -> bool:
        """Whether it shows code that is in use."""
        codes = {str(self._code / entry.code) for entry in self.entries.values()}
        return any(mount.source in codes for mount in spec.mounts if mount.target == CODE)

    async def watch(self, changed: Callable[[], None]) -> None:
        """Take each saved state of the folder into use, and tell `changed`; goes on until it is cancelled."""
        async with aclosing(watch(self._folder)) as noticed:
            async for _ in noticed:
                try:
                    if await self.load():
                        changed()
                except Exception:
                    _logger.exception("the saved tasks could not be taken into use; the next change is tried again")

    def forget_unused(self, in_use: set[str]) -> None:
        """Delete the snapshots that neither the tasks nor `in_use` (those of running attempts) need."""
        # While a load is under way, its snapshot is nobody's yet; there will be another round.
        if self._choice is None or self._loading.locked():
            return
        needed = {version.code for version in self._choice.versions.values()}
        snapshot.forget_unused(self._code, needed | in_use | ({self._loaded.hash} if self._loaded else set()))


def _limits(options: TaskOptions) -> Limits:
    return Limits(
        memory_bytes=options.memory_bytes,
        processes=options.processes,
        cpus=options.cpus,
        disk_bytes=options.disk_bytes,
    )


def _told(error: Exception) -> TaskError:
    return TaskError(type=type(error).__name__, message=str(error), traceback="")
