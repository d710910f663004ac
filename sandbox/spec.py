"""What to confine, and within which walls and limits. Plain values that cross the wire to the launcher as JSON."""

from __future__ import annotations

import dataclasses
import os.path
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sandbox import endpoint
from sandbox.endpoint import Endpoint

_ENTRY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
#: What the sandbox lays out itself; a mount there would take walls away.
_OWN_FOLDERS = ("/proc", "/dev", "/sys")


class Level(StrEnum):
    """How much of the confinement stands. Ordered: each is weaker than the one before."""

    FULL = "full"  # namespaces, a private root, an unprivileged uid
    RESTRICTED = "restricted"  # no namespaces: Landlock and seccomp
    BASIC = "basic"  # rlimits and a process group


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A file or folder of the host that is shown inside.

    Attributes:
        source: absolute path on the host, without symbolic links in it: a task could have put one there as a trap.
        target: absolute path inside.
        writable: whether it can be written; written files belong to the runner's user.
        owned: whether the task owns inside what the runner's user owns in `source`, so that it can read private files;
            always so for a writable mount.
    """

    source: str
    target: str
    writable: bool = False
    owned: bool = False

    def __post_init__(self) -> None:
        for path in (self.source, self.target):
            if not os.path.isabs(path) or os.path.normpath(path) != path or "\0" in path:
                raise ValueError(f"{path!r} is no absolute path without `.`, `..` and a trailing slash")
        if self.target == "/" or any(self.target == own or self.target.startswith(own + "/") for own in _OWN_FOLDERS):
            raise ValueError(f"nothing can be mounted at {self.target!r}: the sandbox itself lays that out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one confined process and all its descendants may use together."""

    memory_bytes: int = 1 << 30
    processes: int = 256  # threads count as processes
    cpus: float | None = None  # share of cores, `None` for no limit
    disk_bytes: int = 256 << 20  # scratch space, counted as memory where it is
    open_files: int = 1024  # of each process

    def __post_init__(self) -> None:
        # To the kernel 0 and -1 mean no limit in some places.
        for name in ("memory_bytes", "processes", "disk_bytes", "open_files"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; a limit is 1 at least")
        if self.cpus is not None and not self.cpus > 0:
            raise ValueError(f"cpus is {self.cpus}; a share of cores is above 0, and None stands for no limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """What is done once, confined, in a zygote, instead of in each attempt that is forked from it.

    Attributes:
        entry: "module:function"; called with `arguments`, mostly to import what the spec's own entry would. If it
            returns a text that is not empty, no attempt is forked; the text says why, after "warming up, it …".
        arguments: what it is called with.
    """

    entry: str
    arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_entry(self.entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One thing to run confined. Raises `ValueError` for what can never be run.

    Attributes:
        entry: "module:function"; called with the `sandbox.protocol.channel.Channel` of the process.
        mounts: what is shown of the host beside the interpreter, its packages and the system's libraries.
        path: folders inside that are put first on `sys.path`.
        environment: all environment variables.
        network: `False` for none, `True` to share the host's, or a few hosts and ports ("smtp.example.com:587") to
            connect to by TCP, which takes level full.
        name: for people, in the process list and in cgroup names; letters, digits and dashes, at most 64.
        warm_up: what a zygote does for later attempts with an equal spec, the name aside; `None` for no zygote.
    """

    entry: str
    limits: Limits = Limits()
    mounts: tuple[Mount, ...] = ()
    path: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    network: bool | tuple[str, ...] = False
    name: str = "attempt"
    warm_up: WarmUp | None = None

    def __post_init__(self) -> None:
        _check_entry(self.entry)
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name is {self.name!r}; allowed are 1 to 64 letters, digits and dashes")
        for key, value in self.environment.items():
            if not key or "=" in key or "\0" in key + value:
                raise ValueError(f"environment variable {key!r} has a name or value that no environment can hold")
        try:
            self.endpoints()
        except ValueError as error:
            raise ValueError(f"network{error}") from None

    @property
    def shares_network(self) -> bool:
        """Whether it shares the host's network."""
        return self.network is True

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The single hosts and ports that are granted."""
        return () if isinstance(self.network, bool) else endpoint.parse_all(self.network)

    def to_document(self) -> dict[str, Any]:
        """As JSON has it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Spec:
        """The spec of a document that `to_document` returned."""
        given = dict(document)
        network = given.pop("network")
        warm_up = given.pop("warm_up")
        return cls(
            limits=Limits(**given.pop("limits")),
            mounts=tuple(Mount(**mount) for mount in given.pop("mounts")),
            path=tuple(given.pop("path")),
            network=network if isinstance(network, bool) else tuple(network),
            warm_up=warm_up and WarmUp(entry=warm_up["entry"], arguments=tuple(warm_up["arguments"])),
            **given,
        )


def _check_entry(entry: str) -> None:
    if not _ENTRY.fullmatch(entry):
        raise ValueError(f"entry is {entry!r}, not `module:function`")
