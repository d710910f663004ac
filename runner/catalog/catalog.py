"""The tasks of a node: from the tasks folder to what can be scheduled and executed.

Loading takes a snapshot of the folder, asks those of its modules that changed what they declare, chooses for each
module the new version or its last good one, and joins each task's options with the config's. A module that takes long
is waited for by nobody: it comes into use when it has answered. What is in use changes in one step, so readers on the
event loop always see one whole state, and each task is taken from one whole snapshot, which its entry names.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing
from types import MappingProxyType

from runner.catalog import schema, snapshot
from runner.catalog.choice import Choice, choose
from runner.catalog.confinement import Launcher, is_current, limits_of
from runner.catalog.discovery import ModuleProblem, Modules, find_modules
from runner.catalog.entries import APP, EntryMaker, TaskEntry, told
from runner.catalog.folder import look
from runner.catalog.history import History, read_history, write_history
from runner.catalog.inquiry import Inquiry, is_certain
from runner.catalog.makes import makes
from runner.catalog.packages import signature
from runner.catalog.watching import watch
from runner.config import Settings
from runner.domain.checks import nearest, shown
from runner.errors import TasksFolderError, UnknownTaskError
from runner.store.records import TaskKey
from sandbox import Spec

_FOLDER = snapshot.PACKAGE
#: How long a start waits for modules to say what they declare; those that take longer come into use later.
START_PATIENCE_S = 3.0
#: How long a saved state waits for its modules before it is in use without those that have not answered.
_SAVED_PATIENCE_S = 1.0

_logger = logging.getLogger(__name__)


class Catalog:
    """The tasks in use. `load` it first, then `watch` it; both may be called whenever.

    Attributes:
        entries: the tasks that can be run.
        needs: the memory limit of each.
        files: the file of each.
        problems: what is wrong, by module, or by what it is about.
    """

    def __init__(self, settings: Settings, launcher: Launcher, *, import_timeout_s: float = 30.0) -> None:
        self._use({}, {})
        self._settings = settings
        self._launcher = launcher
        self._import_timeout_s = import_timeout_s
        self._folder = settings.project / _FOLDER
        self._code = settings.project / ".isolane" / "code"
        self._history = self._code / "catalog.json"
        self._entry_maker = EntryMaker(settings, self._code)
        self._choice: Choice | None = None  # `None` before the first load
        self._inquiry: Inquiry | None = None
        self._modules: Modules | None = None  # of the state that is in use
        self._state: snapshot.Snapshot | None = None
        self._packages = ""  # signature of the installed packages
        self._loaded: tuple[snapshot.Snapshot, str] | None = (
            None  # what is in use, `None` where it is to be tried again
        )
        self._answered = asyncio.Event()  # a module has, after its time was over
        self._lacks_secrets = False  # at the last look
        self._loading = asyncio.Lock()

    async def load(self, *, patience_s: float | None = None) -> bool:
        """Take the tasks folder as it is now into use; whether anything changed.

        Modules that have not said what they declare after `patience_s` (for `None`, it is waited for) stay in use as
        they were, and are a problem until they have; `watch` takes their answers into use.

        Raises:
            TasksFolderError: at the first load there is no folder. Whatever else is wrong is one of `problems`, and
                what is in use, or was before a restart, stays.
        """
        async with self._loading:
            if self._choice is None and not self._folder.is_dir():
                await asyncio.to_thread(self._take)  # says what is wrong
            packages = await asyncio.to_thread(signature)
            if self._inquiry is None:
                self._packages = packages
                await self._begin()
            try:
                state = await asyncio.to_thread(self._take)
            except TasksFolderError as error:
                return self._show_folder_problem(error)
            if (state, packages) != self._loaded:
                await self._take_into_use(state, packages, patience_s)
                return True
            if self._choice and self._lacks_secrets:  # they may be there by now
                known = self.entries
                await self._join(self._choice)
                return self.entries != known
            return False

    def _take(self) -> snapshot.Snapshot:
        return snapshot.take(self._folder, self._code, self._settings.packages)

    def _look_beside(self) -> object:
        """What tells when a package changes that tasks import, installed or beside the tasks folder."""
        return signature(), [look(folder) for folder in self._settings.packages.values()]

    async def _begin(self) -> None:
        """Take what was in use before a restart into use."""
        history = await asyncio.to_thread(read_history, self._history)
        # What a task may use is known once its module was asked; until then the defaults hold.
        limits = limits_of(self._settings.task_options("", {}))
        self._inquiry = Inquiry(limits, self._import_timeout_s, self._answered.set)
        self._inquiry.remember(history.answers)
        self._choice = Choice(history.versions, {})
        await self._join(self._choice)

    async def _take_into_use(self, state: snapshot.Snapshot, packages: str, patience_s: float | None) -> None:
        assert self._inquiry is not None, "begun by the first load"
        modules = await asyncio.to_thread(find_modules, state)
        environment = f"{packages} {self._settings.sandbox.preload}{state.beside}"
        made = await asyncio.to_thread(makes, state.path / snapshot.PACKAGE, modules.paths, environment)
        # In one step, whoever is cancelled: an answer of before must not be taken for one of this state.
        self._modules, self._state, self._packages = modules, state, packages
        self._inquiry.begin(state, made, self._launcher)
        await self._inquiry.settle(patience_s)
        await self._choose()

    async def _choose(self) -> None:
        """Take into use what is known by now of the present state."""
        inquiry, modules, state = self._inquiry, self._modules, self._state
        assert inquiry is not None and self._choice is not None and modules is not None and state is not None  # noqa: PT018
        self._answered.clear()
        choice = choose(inquiry.found(modules), state.hash, self._choice.versions)
        certain = {module: known for module, known in inquiry.answers.items() if is_certain(known.answer)}
        try:
            await asyncio.to_thread(write_history, self._history, History(choice.versions, certain))
        except OSError as error:
            _logger.warning("the last good versions of task modules are not kept beyond a restart: %s", error)
        await self._join(choice)
        self._choice = choice
        self._loaded = (state, self._packages) if len(certain) == len(inquiry.answers) else None

    async def _join(self, choice: Choice) -> None:
        """Take the chosen versions into use, with what the config says and the secrets that are there now."""
        made = await asyncio.to_thread(self._entry_maker.make, choice, self._packages, self._launcher.level)
        self._lacks_secrets = made.lack_secrets
        self._use(made.tasks, made.problems)

    def _use(self, entries: Mapping[TaskKey, TaskEntry], problems: Mapping[str, ModuleProblem]) -> None:
        self.entries: Mapping[TaskKey, TaskEntry] = MappingProxyType(entries)
        self.needs: Mapping[TaskKey, int] = {key: entry.options.memory_bytes for key, entry in entries.items()}
        self.files: Mapping[TaskKey, str] = {key: entry.file for key, entry in entries.items()}
        self.problems: Mapping[str, ModuleProblem] = MappingProxyType(problems)

    def _show_folder_problem(self, error: TasksFolderError) -> bool:
        problem = ModuleProblem(module="", file=_FOLDER, error=told(error), kept=True)
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
            if app == APP and problem.module and not problem.kept and f"{name}.".startswith(f"{problem.module}."):
                raise UnknownTaskError(
                    f"no task {shown(name)}: {problem.file} does not work ({problem.error.type}); "
                    "`isolane tasks list` shows why"
                )
        hint = nearest(name, (key.task for key in self.entries if key.app == app))
        raise UnknownTaskError(f"no task {shown(name)}{hint or '; `isolane tasks list` shows those there are'}")

    def check_parameters(self, entry: TaskEntry, value: object, *, size_bytes: int = 0) -> None:
        """Check parameters, which take `size_bytes` as JSON, against the task's own schema.

        Raises:
            ShapeError: they do not fit; names the place.
        """
        if entry.shape is not None and schema.is_quick(entry.shape, size_bytes):
            schema.check(entry.shape, value)

    def is_current(self, spec: Spec) -> bool:
        """Whether it shows code that is in use, and was not warmed up with packages that are not there any more."""
        codes = {self._code / entry.code for entry in self.entries.values()}
        return is_current(spec, codes, self._packages)

    async def watch(self, changed: Callable[[], None]) -> None:
        """Take each saved state of the folder into use, and tell `changed`; goes on until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_answers(changed))
            async with aclosing(watch(self._folder, self._look_beside)) as noticed:
                async for _ in noticed:
                    try:
                        if await self.load(patience_s=_SAVED_PATIENCE_S):
                            changed()
                    except Exception:
                        _logger.exception("the saved tasks could not be taken into use; the next change is tried again")

    async def _watch_answers(self, changed: Callable[[], None]) -> None:
        while True:
            await self._answered.wait()
            async with self._loading:
                if not self._answered.is_set():
                    continue  # a load was first
                try:
                    await self._choose()
                    changed()
                except Exception:
                    _logger.exception("what the tasks declare could not be taken into use; the next answer is")

    async def wait_for(self, name: str) -> None:
        """Return once there is a task of this name, or no module is left that could have it. Not beside `watch`."""
        while TaskKey(APP, name) not in self.entries and self._inquiry is not None and self._inquiry.codes:
            await self._answered.wait()
            async with self._loading:
                await self._choose()

    async def close(self) -> None:
        """Ask no module any more."""
        if self._inquiry is not None:
            await self._inquiry.close()

    def forget_unused(self, in_use: set[str]) -> None:
        """Delete the snapshots that neither the tasks nor `in_use` (those of running attempts) need."""
        # While a load is under way, its snapshot is nobody's yet; there will be another round.
        if self._choice is None or self._inquiry is None or self._loading.locked():
            return
        needed = {version.code for version in self._choice.versions.values()} | self._inquiry.codes
        snapshot.forget_unused(self._code, needed | in_use | ({self._state.hash} if self._state else set()))
