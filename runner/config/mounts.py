"""What `[[mounts]]` may show of the host, and where inside the sandbox."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from runner.config.patterns import grants
from runner.config.sections import MountSection
from runner.domain.checks import shown
from runner.errors import ConfigError
from sandbox.spec import Mount

#: The node's own folder in the project: the store, the tokens, the snapshots.
STATE = ".isolane"
_SYSTEM = (
    "/bin",
    "/code",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/tmp",
    "/usr",
    "/var/tmp",
)
#: The interpreter and isolane itself are seen inside at their own paths.
_OWN = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[1]))


@dataclass(frozen=True, slots=True)
class TaskMount:
    """A mount, and the names or patterns of the tasks that see it."""

    mount: Mount
    tasks: tuple[str, ...]

    def is_for(self, task: str, origin: str) -> bool:
        """Whether the task sees it; `origin` is its name by its file alone."""
        return grants(self.tasks, task, origin)


def read_mount(
    section: MountSection, project: Path, where: str, *, private: Iterable[Path], trusted: Iterable[Path]
) -> TaskMount:
    """Check one entry; `where` names it in errors, such as "config/isolane.toml: mounts[0]".

    What holds something of `private`, or lies in it, is not shown; the same of `trusted` cannot be written.

    Raises:
        ConfigError: its source does not exist or is kept from tasks; its target cannot be had.
    """
    source = (project / section.source).resolve()
    if not section.source or not source.exists():
        raise ConfigError(f"{where}.source must exist: got {shown(section.source)}, which is {source}")
    for own in private:
        if _overlaps(source, own):
            raise ConfigError(f"{where}.source must not show tasks {own}, which is isolane's own: got {source}")
    for own in trusted if section.writable else ():
        if _overlaps(source, own):
            raise ConfigError(f"{where}.writable must be false: tasks could change {own}, which isolane trusts")
    return TaskMount(
        Mount(source=str(source), target=_target(section.target, where), writable=section.writable, owned=True),
        tuple(section.tasks),
    )


def check_places(mounts: Sequence[Mount]) -> None:
    """Check that what is mounted inside of another mount has a place there; outer ones come first.

    Raises:
        ConfigError: two are at one place, or one has no place inside of the other; the message has no beginning.
    """
    for index, inner in enumerate(mounts):
        outer = next((each for each in reversed(mounts[:index]) if _is_at_or_below(inner.target, each.target)), None)
        if outer is None:
            continue
        if outer.target == inner.target:
            raise ConfigError(f"something at {inner.target} twice")
        place = Path(outer.source + inner.target.removeprefix(outer.target))
        kind = "folder" if Path(inner.source).is_dir() else "file"
        if place.resolve() != place or not (place.is_dir() if kind == "folder" else place.is_file()):
            raise ConfigError(f"{inner.target} inside of {outer.target}, so {place} must be a {kind}: make one")


def _is_at_or_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _overlaps(source: Path, own: Path) -> bool:
    return source in (own, *own.parents) or own in source.parents


def _target(target: str, where: str) -> str:
    if not target.startswith("/") or posixpath.normpath(target) != target or target.startswith("//") or "\0" in target:
        raise ConfigError(f'{where}.target must be a plain absolute path such as "/data": got {shown(target)}')
    path = PurePosixPath(target)
    for taken in map(PurePosixPath, (*_SYSTEM, *_OWN)):
        if path == taken or path in taken.parents or taken in path.parents:
            raise ConfigError(
                f'{where}.target must leave {taken} as it is; choose a path such as "/data": got {shown(target)}'
            )
    return target
