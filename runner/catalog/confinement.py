"""How task code is confined: the sandbox that a node has, and what each process in it may see and use.

Task code runs in two kinds of processes: one says what a module declares, the other is an attempt. Both see a snapshot
of the tasks folder at one place, read-only, and no environment but this one. An attempt has the limits, the network and
the mounts that its task was given.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from runner.catalog.snapshot import import_path
from runner.config import Settings
from runner.domain.options.task_options import TaskOptions
from runner.errors import ConfigError, InvalidOptionError
from sandbox import Confined, Level, Limits, Mount, Sandbox, SandboxError, Spec, WarmUp

_ENTRY = "runner.guest.main:main"
_WARM_UP = "runner.guest.main:warm_up"
#: Where a snapshot is seen inside.
_CODE = "/code"
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8"}
#: What task code imports of isolane.
PACKAGES = ("runner", "sandbox")
#: What most attempts would import anyway: loaded once in the launcher. All of it is the standard library's and ours.
PRELOAD = ("runner.guest.main", "runner.sdk.context", "runner.sdk.decorator", "runner.sdk.schedule", "dataclasses")


class Launcher(Protocol):
    """What starts confined processes: a sandbox, or what keeps one."""

    @property
    def level(self) -> Level:
        """At which it confines."""

    async def launch(self, spec: Spec) -> Confined:
        """Launch confined; raises `SandboxError`."""


def make_sandbox(settings: Settings, lock_file: Path) -> Sandbox:
    """The sandbox of a node; `lock_file` will prove that its attempts are dead."""
    return Sandbox(
        lock_file=lock_file,
        level=None if settings.sandbox.level == "auto" else Level(settings.sandbox.level),
        packages=PACKAGES,
        preload=PRELOAD,
        keep_warm_s=settings.sandbox.keep_warm_s,
    )


def unstartable(error: SandboxError) -> ConfigError:
    """What to tell whoever started a node whose sandbox cannot be."""
    return ConfigError(f"the sandbox cannot be started on this host: {error}")


def check_required(settings: Settings, sandbox: Sandbox) -> None:
    """Refuse a host that confines less than the config demands.

    Raises:
        ConfigError: says what it allows.
    """
    order, required = list(Level), settings.sandbox.require
    if required is not None and order.index(sandbox.level) > order.index(Level(required)):
        raise ConfigError(
            f"sandbox.require is {required!r}, but this host allows only {sandbox.level.value!r} ({sandbox.walls})"
        )


def limits_of(options: TaskOptions) -> Limits:
    """What a process of a task with these options may use."""
    return Limits(
        memory_bytes=options.memory_bytes,
        processes=options.processes,
        cpus=options.cpus,
        disk_bytes=options.disk_bytes,
    )


def module_spec(code: Path, limits: Limits) -> Spec:
    """For a module of the snapshot `code` that says what it declares."""
    return Spec(
        entry=_ENTRY,
        limits=limits,
        mounts=(_code_mount(code),),
        path=import_path(code, _CODE),
        environment=_ENVIRONMENT,
        name="discovery",
    )


def task_spec(
    settings: Settings, code: Path, options: TaskOptions, *, name: str, origin: str, module: str, packages: str
) -> Spec:
    """For an attempt of the task `name`, which `origin` calls by its file alone.

    `packages` is the signature of those that are installed: what was warmed up with others is not used for it.

    Raises:
        ConfigError: what the config shows it of the host clashes.
    """
    return Spec(
        entry=_ENTRY,
        limits=limits_of(options),
        mounts=(_code_mount(code), *settings.mounts_for(name, origin)),
        path=import_path(code, _CODE),
        environment=_ENVIRONMENT,
        network=options.network,
        warm_up=WarmUp(entry=_WARM_UP, arguments=(packages, module, *settings.sandbox.preload)),
        name=re.sub(r"[^A-Za-z0-9]+", "-", name)[:40].strip("-") or "task",
    )


def check_level(level: Level, options: TaskOptions, name: str) -> None:
    """Refuse what this level cannot confine.

    Raises:
        InvalidOptionError: single hosts are granted to the task `name`, and the level is not `full`.
    """
    if isinstance(options.network, tuple) and level is not Level.FULL:
        raise InvalidOptionError(
            f"network of {name}: single hosts are granted at level full only, and the sandbox of this node is "
            f"{level}; `isolane doctor` says what it lacks"
        )


def is_current(spec: Spec, codes: Collection[Path], packages: str) -> bool:
    """Whether it shows one of these snapshots, and was not warmed up with packages that are not there any more."""
    if spec.warm_up is not None and spec.warm_up.arguments[:1] != (packages,):
        return False
    return any(_code_mount(code) in spec.mounts for code in codes)


def _code_mount(code: Path) -> Mount:
    return Mount(source=str(code), target=_CODE)
