"""The options that hold for a task: what its decorator, its manifest and the config say of it, joined.

Options come in layers, each over the one before: the config's `[defaults]`, the task's own, the config's
`[tasks.NAME]`. `read_options` checks one layer by itself, so that an error names the layer that it stands in;
`merge_options` joins them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NewType

from runner.domain.checks import known_keys
from runner.domain.options.table import TASK_OPTIONS, read
from runner.domain.retry import Retry

#: One checked layer: names of options to the values that are held, `retry` still as the table that was written.
Layer = NewType("Layer", Mapping[str, Any])


def _default(name: str) -> Any:
    option = TASK_OPTIONS[name]
    return field(default=option.kind.read(option.default, name) if option.default is not None else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What holds for each run of a task unless the run says otherwise."""

    description: str | None = _default("description")
    queue: str | None = _default("queue")
    timeout_s: float = _default("timeout")  # infinite for none
    memory_bytes: int = _default("memory")
    cpus: float | None = _default("cpus")  # share of cores
    processes: int = _default("processes")
    disk_bytes: int = _default("disk")
    network: bool | tuple[str, ...] = _default("network")  # `True` for the host's, or "host:port" of each
    secrets: tuple[str, ...] = _default("secrets")  # names; where their values are is the config's
    retry: Retry = field(default_factory=Retry)
    every_s: float | None = _default("every")
    cron: str | None = _default("cron")  # a line that `runner.domain.cron.parse` takes
    timezone: str = _default("timezone")  # in which `cron` is read
    overlap: str = _default("overlap")  # what a firing does while the task's last scheduled run is not final
    catch_up: str = _default("catch_up")  # what becomes of firings that were missed while nobody ran
    expires_s: float | None = _default("expires")  # from the due time to the first start
    priority: int = _default("priority")
    tags: tuple[str, ...] = _default("tags")

    def document(self) -> dict[str, object]:
        """Itself as JSON, null for none; `read_options` reads it back."""
        held = {name: getattr(self, option.attribute) for name, option in TASK_OPTIONS.items()}
        return {name: None if value is None else TASK_OPTIONS[name].kind.write(value) for name, value in held.items()}


def read_options(written: Mapping[str, Any], where: str = "") -> Layer:
    """Check one layer; `where` is put before each option's name in errors, such as `tasks."billing.invoice".`.

    Raises:
        InvalidOptionError: an unknown option, a wrong type or range, or both `every` and `cron`.
    """
    known_keys(written, TASK_OPTIONS, where, "task option")
    return Layer(read(written, TASK_OPTIONS, where))


def merge_options(*layers: Layer) -> TaskOptions:
    """The options that checked layers come to, later ones over earlier ones. `retry` is joined key by key."""
    merged: dict[str, Any] = {}
    retry: dict[str, Any] = {}
    for layer in layers:
        # A layer that sets one kind of schedule replaces the other kind below it.
        for kind, other in (("every", "cron"), ("cron", "every")):
            if layer.get(kind) is not None:
                merged.pop(other, None)
        retry |= layer.get("retry", {})
        merged |= layer
    values = {TASK_OPTIONS[name].attribute: value for name, value in merged.items()}
    return TaskOptions(**values | {"retry": Retry(**retry)})
