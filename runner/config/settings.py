"""`Settings`: the config as the rest of the runner asks it. Frozen; a changed file takes a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from runner.config.bounds import Bounds
from runner.config.mounts import TaskMount, check_places
from runner.config.patterns import is_pattern, matches
from runner.config.readers import node_name
from runner.config.secrets import SecretValues
from runner.config.sections import (
    ConfigFile,
    LimitsSection,
    RetentionSection,
    RunnerSection,
    SandboxSection,
    ServerSection,
)
from runner.domain.options.queue_rule import QueueRule
from runner.domain.options.task_options import Layer, TaskOptions, merge_options, read_options
from runner.errors import ConfigError, InvalidOptionError
from sandbox.spec import Mount

#: Rules that were looked up and are kept; names of queues are users' words, and there is no end of them.
_REMEMBERED_RULES = 65_536


@dataclass(frozen=True)
class Settings:
    """What the config says, in plain units.

    Attributes:
        project: the folder that holds `tasks/` and `.isolane/`; relative paths of the config begin there.
        file: the config file, for messages.
        packages: folders beside `tasks/` that tasks import from, each named by its number and its own name.
        bounds: `[[bounds]]`.
    """

    project: Path
    file: Path
    document: ConfigFile
    mounts: tuple[TaskMount, ...]
    packages: Mapping[str, Path]
    secrets: SecretValues
    bounds: Bounds = field(init=False, repr=False, compare=False)
    _rules: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bounds", Bounds(self.file, self.document.bounds))
        object.__setattr__(self, "_rules", lru_cache(maxsize=_REMEMBERED_RULES)(self._find_rule))

    def with_node_name(self, name: str) -> Settings:
        """The same, but for what the node is called.

        Raises:
            ConfigError: no node may be called so.
        """
        try:
            runner = self.runner.model_copy(update={"name": node_name(name, "--name")})
        except InvalidOptionError as error:
            raise ConfigError(str(error)) from None
        return replace(self, document=self.document.model_copy(update={"runner": runner}))

    @property
    def runner(self) -> RunnerSection:
        """`[runner]`."""
        return self.document.runner

    @property
    def server(self) -> ServerSection:
        """`[server]`."""
        return self.document.server

    @property
    def sandbox(self) -> SandboxSection:
        """`[sandbox]`."""
        return self.document.sandbox

    @property
    def limits(self) -> LimitsSection:
        """`[limits]`."""
        return self.document.limits

    @property
    def retention(self) -> RetentionSection:
        """`[retention]`."""
        return self.document.retention

    @property
    def overridden_tasks(self) -> Mapping[str, Layer]:
        """The tasks that `[tasks.NAME]` names, with what it says of each."""
        return self.document.tasks

    def queue_rule(self, app: str, name: str) -> QueueRule:  # noqa: ARG002 - one app, one config
        """How a queue behaves: its own entry, else the first pattern that covers it, else one run at a time."""
        rule: QueueRule = self._rules(name)
        return rule

    def _find_rule(self, name: str) -> QueueRule:
        queues = self.document.queues
        if name in queues:
            return queues[name]
        patterns = (pattern for pattern in queues if is_pattern(pattern) and matches(pattern, name))
        pattern = next(patterns, None)
        return queues[pattern] if pattern is not None else QueueRule()

    def mounts_for(self, task: str, origin: str) -> tuple[Mount, ...]:
        """What a task sees of the host; a folder comes before what lies in it. `origin` is its name by its file alone.

        Raises:
            ConfigError: two mounts at one place, or one without a place inside of another.
        """
        seen = (each.mount for each in self.mounts if each.is_for(task, origin))
        mounts = sorted(seen, key=lambda mount: mount.target)
        try:
            check_places(mounts)
        except ConfigError as error:
            raise ConfigError(f"{self.file}: [[mounts]] show task {task} {error}") from None
        return tuple(mounts)

    def task_options(self, task: str, own: Mapping[str, Any]) -> TaskOptions:
        """The options of a task: `[defaults]`, over these its own, over these `[tasks.NAME]`; all within `[[bounds]]`.

        Raises:
            InvalidOptionError: one of its own is wrong, or more than it may have.
        """
        layers = [read_options(own, f"task {task}: ")]
        if task in self.document.tasks:
            layers.append(self.document.tasks[task])
        asked = set[str]().union(*layers)
        return self.bounds.hold(task, merge_options(self.document.defaults, *layers), asked)
